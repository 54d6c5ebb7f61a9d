package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"deskbell/bot"
)

// RefuseLink records that somebody who is not its owner opened a link in WeCom,
// which named them: by is their userid, "" for an outsider. The link stays as it
// was, so that its owner can still use it, and the owner is told, once for each
// link: whoever has it could open it a thousand times. A link of
// tokens.link_mode = "direct" ends instead, as it is an access token, and
// somebody else is now known to have it. ErrNotFound is a link that is not good.
func (s *Store) RefuseLink(ctx context.Context, link, by string, from Client) error {
	kind := kindLink
	if tokenKind(link) == kindAccess {
		kind = kindAccess
	}
	return s.Tx(ctx, func(tx *Tx) error {
		var row tokenRow
		good := tx.db.NewSelect().Model(&row).Where("hash IN (?)", bun.List(s.keys.digests(kind, link))).Where("kind = ?", kind).
			Where("plain = ?", kind == kindAccess).Where("used_at IS NULL").Where("revoked_at IS NULL").Where("expires_at > ?", tx.Now)
		if err := good.Scan(ctx); errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		} else if err != nil {
			return fmt.Errorf("refuse link: %w", err)
		}
		tx.Audit(AuditEntry{Actor: known(by), Action: "link.refuse", Target: row.Person, Result: "refused", Detail: from.String()})
		if kind == kindAccess {
			if _, _, err := tx.revoke(ctx, "link opened by somebody else", "family = ?", row.Family); err != nil {
				return err
			}
		}
		res, err := tx.db.NewUpdate().Model((*tokenRow)(nil)).Set("warned_at = ?", tx.Now).Where("id = ?", row.ID).Where("warned_at IS NULL").Exec(ctx)
		switch err = changedOne(res, err, "refuse link"); {
		case errors.Is(err, ErrNotFound): // told already
			return nil
		case err != nil:
			return err
		}
		app, system, _ := strings.Cut(from.Device, deviceSeparator)
		return tx.Tell(ctx, row.Person, bot.Card("link.opened", opened{At: tx.Now, App: app, System: system, Address: from.Address, Ended: kind == kindAccess}))
	})
}

// opened is the data of link.opened.
type opened struct {
	At          time.Time
	App, System string // the device, either may be ""
	Address     string
	Ended       bool // the link ended with it
}
