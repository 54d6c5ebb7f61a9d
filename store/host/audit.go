package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"deskbell/store"
)

// ErrTampered means that the audit trail is not as it was written; each fault has
// been shown.
var ErrTampered = errors.New("the audit trail was tampered with")

// Audit examines or exports the audit trail.
type Audit struct {
	Verify AuditVerify `cmd:"" help:"Find entries that were changed, moved or removed."`
	Export AuditExport `cmd:"" help:"Write all entries as lines of JSON."`
}

// AuditVerify finds what was tampered with.
type AuditVerify struct {
	Configured
	Checkpoints string `placeholder:"FILE" help:"Checkpoints kept elsewhere: the log of serve in JSON, or just its lines \"audit checkpoint\" (- is stdin)."`
}

// Help explains and gives an example.
func (AuditVerify) Help() string {
	return `Names every entry that was tampered with or is missing, and exits with 1. That
somebody put the whole trail back as it was earlier, or emptied it, is shown only
by checkpoints kept elsewhere.

Example:

    deskbell audit verify --config config.toml --checkpoints /var/log/deskbell.log`
}

// Run prints each fault and a summary. It returns ErrTampered when there are any.
func (c AuditVerify) Run(h *Host) error {
	o, err := h.Options(c.Config)
	if err != nil {
		return err
	}
	checkpoints, err := openOr(c.Checkpoints, h.In)
	if err != nil {
		return fmt.Errorf("--checkpoints: %w", err)
	}
	defer checkpoints.Close()
	report, err := store.VerifyAudit(h.Ctx, o.URL, o.Keys, checkpoints)
	if err != nil {
		return err
	}
	for _, fault := range report.Faults {
		fmt.Fprintln(h.Out, fault)
	}
	fmt.Fprintf(h.Out, "%d entries in %d chains, %d checkpoints: %d faults\n", report.Entries, report.Chains, report.Checkpoints, len(report.Faults))
	if len(report.Faults) > 0 {
		return ErrTampered
	}
	return nil
}

// AuditExport writes the audit trail out.
type AuditExport struct{ Configured }

// Help gives an example.
func (AuditExport) Help() string {
	return `Example:

    deskbell audit export --config config.toml > audit.jsonl`
}

// Run writes an entry a line.
func (c AuditExport) Run(h *Host) error {
	o, err := h.Options(c.Config)
	if err != nil {
		return err
	}
	return store.ExportAudit(h.Ctx, o.URL, o.Keys, h.Out)
}

// openOr opens a file, or takes in for "-"; no name is an empty file.
func openOr(name string, in io.Reader) (io.ReadCloser, error) {
	switch name {
	case "":
		return io.NopCloser(strings.NewReader("")), nil
	case "-":
		return io.NopCloser(in), nil
	}
	return os.Open(name)
}
