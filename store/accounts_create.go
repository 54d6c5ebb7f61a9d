package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

// accountLock is the key of the advisory lock under which names are taken: two
// batches with the same names in another order would deadlock.
const accountLock = 0x6e616d65 // "name"

// importCost is the cost (bcrypt) of a password that comes with many others:
// half a minute for 500 of them rather than two. The first sign-in makes it as
// costly as the rest.
const importCost = 10

// CreateAccount makes one account. An AccountError says why not.
func (s *Store) CreateAccount(ctx context.Context, n NewAccount, by string) (Account, error) {
	made, err := s.createAccounts(ctx, []NewAccount{n}, by, s.hasher.cost)
	if err != nil {
		return Account{}, err
	}
	return made[0].Account, made[0].Err
}

// MaxAccounts is how many accounts may be made at once.
const MaxAccounts = 500

// AccountMade is what became of one wish: an account, or the reason why not.
type AccountMade struct {
	Account
	Err error
}

// CreateAccounts makes many accounts in one transaction and tells of each, in
// order, what became of it: one that cannot be made does not hold up the rest.
func (s *Store) CreateAccounts(ctx context.Context, list []NewAccount, by string) ([]AccountMade, error) {
	return s.createAccounts(ctx, list, by, min(s.hasher.cost, importCost))
}

func (s *Store) createAccounts(ctx context.Context, list []NewAccount, by string, cost int) ([]AccountMade, error) {
	made := make([]AccountMade, len(list))
	for i := range list {
		list[i], made[i].Err = list[i].settle()
	}
	hashes, err := s.hashAll(ctx, list, made, cost) // slow, so it comes before the transaction
	if err != nil {
		return nil, err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		if err := tx.lockNames(ctx); err != nil {
			return err
		}
		for i, n := range list {
			if made[i].Err != nil {
				continue
			}
			row := n.row(tx.Now, hashes[i], by)
			err := tx.createAccount(ctx, row)
			if _, refused := errors.AsType[*AccountError](err); err != nil && !refused {
				return err
			}
			made[i] = AccountMade{row.Account, err}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// lockNames has this transaction alone take names. SQLite has one writer.
func (tx *Tx) lockNames(ctx context.Context) error {
	if !tx.s.pg {
		return nil
	}
	if _, err := tx.db.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", accountLock)); err != nil {
		return fmt.Errorf("create account: %w", err)
	}
	return nil
}

// createAccount takes the account's names and stores it, or takes nothing.
func (tx *Tx) createAccount(ctx context.Context, row accountRow) error {
	var taken []string
	for _, n := range []struct{ kind, name string }{{"Email", row.Email}, {"Mobile", row.Mobile}, {"Username", row.Username}} {
		name := canonicalName(n.name)
		if name == "" || slices.Contains(taken, name) {
			continue
		}
		res, err := tx.db.NewInsert().Model(&accountName{Name: name, Account: row.UID}).On("CONFLICT (name) DO NOTHING").Returning("NULL").Exec(ctx)
		err = changedOne(res, err, "take a name")
		if errors.Is(err, ErrNotFound) {
			if _, err := tx.db.NewDelete().Model((*accountName)(nil)).Where("account = ?", row.UID).Exec(ctx); err != nil {
				return fmt.Errorf("create account: %w", err)
			}
			return &AccountError{Reason: n.kind + " " + n.name + " already exists", Taken: true}
		}
		if err != nil {
			return fmt.Errorf("create account: %w", err)
		}
		taken = append(taken, name)
	}
	if _, err := tx.db.NewInsert().Model(&row).ExcludeColumn("last_login_at").Returning("NULL").Exec(ctx); err != nil {
		return fmt.Errorf("create account: %w", err)
	}
	tx.Audit(AuditEntry{Actor: row.CreatedBy, Action: "account.create", Target: row.Audited()})
	return nil
}

// hashAll hashes the passwords of the accounts nothing speaks against yet. Unlike somebody who is signing in,
// who creates accounts can wait, so each takes its turn behind the others.
func (s *Store) hashAll(ctx context.Context, list []NewAccount, made []AccountMade, cost int) ([]string, error) {
	hashes, errs := make([]string, len(list)), make([]error, len(list))
	var all sync.WaitGroup
	for i, n := range list {
		if n.Password == "" || made[i].Err != nil {
			continue
		}
		select {
		case s.hasher.turns <- struct{}{}:
		case <-ctx.Done():
			errs[i] = ctx.Err()
		}
		if errs[i] != nil {
			break
		}
		all.Go(func() {
			defer func() { <-s.hasher.turns }()
			key := s.hasher.keys.keys[0]
			s.hasher.worked.Add(1 << (cost - bcrypt.MinCost))
			hash, err := bcrypt.GenerateFromPassword(pepper(key, n.Password), cost)
			hashes[i], errs[i] = ourHash+"."+key.id+"."+string(hash), err
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("hash passwords: %w", err)
	}
	return hashes, nil
}
