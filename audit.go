package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"deskbell/store"
)

type auditCmd struct {
	Verify auditVerifyCmd `cmd:"" help:"Find entries that were changed, moved or removed."`
	Export auditExportCmd `cmd:"" help:"Write all entries as lines of JSON."`
}

type auditVerifyCmd struct {
	configured
	Checkpoints string `placeholder:"FILE" help:"Checkpoints kept elsewhere: the log of serve in JSON, or just its lines \"audit checkpoint\" (- is stdin)."`
}

func (auditVerifyCmd) Help() string {
	return `Names every entry that was tampered with and exits with 1. Whoever can delete
entries can delete the checkpoints beside them as well: only checkpoints kept
elsewhere show that the end of the trail is missing.

Example:

    deskbell audit verify --config config.toml --checkpoints /var/log/deskbell.log`
}

func (c auditVerifyCmd) Run(p *program) error {
	cfg, err := LoadConfig(c.Config, p.environ, true)
	if err != nil {
		return err
	}
	checkpoints, err := openOr(c.Checkpoints, p.in)
	if err != nil {
		return fmt.Errorf("--checkpoints: %w", err)
	}
	defer checkpoints.Close()
	report, err := store.VerifyAudit(p.ctx, cfg.Store.URL.Reveal(), cfg.EncryptionKeys(), checkpoints)
	if err != nil {
		return err
	}
	for _, fault := range report.Faults {
		fmt.Fprintln(p.out, fault)
	}
	fmt.Fprintf(p.out, "%d entries in %d chains, %d checkpoints: %d faults\n", report.Entries, report.Chains, report.Checkpoints, len(report.Faults))
	if len(report.Faults) > 0 {
		return exit(exitFailed)
	}
	return nil
}

type auditExportCmd struct{ configured }

func (auditExportCmd) Help() string {
	return `Example:

    deskbell audit export --config config.toml > audit.jsonl`
}

func (c auditExportCmd) Run(p *program) error {
	cfg, err := LoadConfig(c.Config, p.environ, true)
	if err != nil {
		return err
	}
	return store.ExportAudit(p.ctx, cfg.Store.URL.Reveal(), cfg.EncryptionKeys(), p.out)
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
