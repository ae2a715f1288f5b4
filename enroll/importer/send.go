package importer

import (
	"context"
	"slices"
	"strconv"

	"rollcall/enroll"
)

// sendBatch is how many recipients get their requests in one transaction.
const sendBatch = 200

// sendTries is how often a batch is made anew because a device of it went.
const sendTries = 3

// Send has enrollment requests made of recipients of an applied import. A worker
// does it; one that takes its place goes on behind what is done.
func (im *Imports) Send(ctx context.Context, id string, s enroll.Sending) (enroll.Import, error) {
	s = inOrder(s)
	imp, err := im.ChangeImport(ctx, id, func(imp enroll.Import) (enroll.Import, error) {
		if imp.State != enroll.ImportApplied {
			return imp, enroll.Errorf(enroll.KindConflict, "import_"+string(imp.State), "the import is %s, so no requests can be sent", imp.State).WithHint("Apply it first.")
		}
		if err := sendable(imp.Options); err != nil {
			return imp, err
		}
		imp.State, imp.Sending, imp.Done, imp.Problem = enroll.ImportSending, &s, 0, nil
		return imp, nil
	})
	im.kick()
	return imp, err
}

// alreadySent says why an applied import cannot be applied with requests, or
// nil.
func alreadySent(imp enroll.Import, send *enroll.Sending) error {
	if send == nil || imp.Sending != nil {
		return nil
	}
	return enroll.Errorf(enroll.KindConflict, "import_applied", "the import has been applied already, without enrollment requests").WithHint("Send them by themselves.")
}

func sendable(o enroll.ImportOptions) error {
	if o.PreEnroll {
		return nil
	}
	return enroll.Errorf(enroll.KindConflict, "import_users_only", "the import makes users only, and a request is for a device").WithHint("Import with pre_enroll=true.")
}

func inOrder(s enroll.Sending) enroll.Sending {
	s.Only, s.Except = slices.Compact(slices.Sorted(slices.Values(s.Only))), slices.Compact(slices.Sorted(slices.Values(s.Except)))
	return s
}

// send makes the requests that an applied import still owes.
func (im *Imports) send(ctx context.Context, l enroll.ImportLease, imp enroll.Import) error {
	s := *imp.Sending
	for tries := 0; !s.Done; {
		batch, err := im.ImportRecipients(ctx, imp.ID, enroll.Page{Limit: sendBatch, After: strconv.Itoa(s.After)})
		if err != nil {
			return err
		}
		invites, next := s.Invites(batch, im.now().UTC())
		next.Done = len(batch) < sendBatch
		switch err := im.SendImport(ctx, l, invites, next); {
		case err == nil:
			s, tries = next, 0
			im.report(imp.ID, s.Sent+s.LeftOut)
		case enroll.KindOf(err) == enroll.KindNotFound && tries < sendTries:
			tries++
		default:
			return err
		}
	}
	return nil
}
