package storagetest

import (
	"testing"

	"rollcall/storage"
)

// Run runs the contract; open gives a fresh, empty store each time.
func Run(t *testing.T, open func(t *testing.T) *storage.Store) {
	for _, part := range []struct {
		name string
		test func(t *testing.T, open func(t *testing.T) *storage.Store)
	}{
		{"roll", testRoll},
		{"lists", testLists},
		{"rule groups", testRuleGroups},
		{"history", testHistory},
		{"import", testImport},
		{"corrections", testCorrections},
		{"requests", testRequests},
		{"messages", testMessages},
		{"gate", testGate},
		{"overview", testOverview},
		{"restrictions", testRestrictions},
		{"approvals", testApprovals},
		{"repairs", testRepairs},
		{"enrollments", testEnrollments},
		{"queue", testQueue},
		{"queue model", testModel},
		{"policies", testPolicies},
		{"delivery", testDelivery},
		{"plans", testPlans},
		{"declarations", testDeclarations},
		{"pushes", testPushes},
		{"secrets", testSecrets},
		{"sign-ins", testSignIns},
		{"enrollment tokens", testEnrollmentTokens},
		{"agents", testAgents},
		{"identities", testIdentities},
		{"tokens", testTokens},
		{"administrators", testAdministrators},
		{"amapi", testAMAPI},
		{"events", testEvents},
		{"webhooks", testWebhooks},
		{"audit", testAudit},
		{"transactions", testTransactions},
		{"answers", testAnswers},
		{"DEP", testDEP},
		{"zero-touch", testZeroTouch},
	} {
		t.Run(part.name, func(t *testing.T) {
			t.Parallel()
			part.test(t, open)
		})
	}
}

// each runs cases, each on a store of its own.
func each(t *testing.T, open func(t *testing.T) *storage.Store, cases map[string]func(w *world)) {
	for name, test := range cases {
		t.Run(name, func(t *testing.T) { test(newWorld(t, open(t))) })
	}
}
