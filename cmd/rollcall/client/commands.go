package client

// Commands are the subcommands of rollcall that speak to a server.
type Commands struct {
	Login         Login                 `cmd:"" help:"Remember a server and a token for the commands below."`
	Overview      Overview              `cmd:"" help:"What needs attention, and what happened lately."`
	Import        ImportCommands        `cmd:"" help:"CSV files that put devices on the roll."`
	Device        DeviceCommands        `cmd:"" help:"The roll: pre-enrolled and enrolled devices."`
	Group         GroupCommands         `cmd:"" help:"Groups of devices."`
	Policy        PolicyCommands        `cmd:"" help:"Policies, and what they are bound to."`
	Request       RequestCommands       `cmd:"" help:"Enrollment requests."`
	Gate          GateCommands          `cmd:"" help:"Ask the gate what would happen."`
	Decision      DecisionCommands      `cmd:"" help:"What the gate decided."`
	Approval      ApprovalCommands      `cmd:"" help:"Devices that wait for approval."`
	Export        ExportCommands        `cmd:"" help:"Whole lists as CSV, or with -o json as one object a line."`
	Settings      SettingsCommands      `cmd:"" help:"Enrollment restrictions."`
	Server        Server                `cmd:"" help:"How the server is set up: certificates, mail, how long what is kept."`
	Token         TokenCommands         `cmd:"" help:"API tokens."`
	Administrator AdministratorCommands `cmd:"" help:"People who sign in to the console."`
	View          ViewCommands          `cmd:"" help:"Saved views of the list of devices."`
	Audit         AuditCommands         `cmd:"" help:"The log of changes."`
	Webhook       WebhookCommands       `cmd:"" help:"Where events are posted to."`
	DEP           DEPCommands           `cmd:"" help:"Apple's Automated Device Enrollment: accounts, tokens, profiles, synchronisation."`
	Android       AndroidCommands       `cmd:"" help:"Android devices: enrollment tokens and QR codes."`
}
