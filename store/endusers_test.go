package store

import (
	"errors"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// customer makes an end user without a password, and the token of the link that
// makes one.
func (f fixture) customer(name string) (Account, string) {
	f.t.Helper()
	var link Link
	a, err := txGives(f, func(tx *Tx) (Account, error) {
		a, err := tx.CreateEndUser(f.t.Context(), name, "boss")
		if err == nil {
			link, err = tx.NewHandOver(f.t.Context(), a.UID)
		}
		return a, err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	at, token, _ := strings.Cut(link.URL, "?accessToken=")
	if at != "https://desk.example.com/newpassword" {
		f.t.Error(link.URL)
	}
	return a, token
}

// The password does not exist before the link is used, and is shown once.
func TestHandOver(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		kim, link := f.customer("kim")
		if _, _, _, err := f.LogIn(t.Context(), "kim", "", "", Client{}); !errors.Is(err, ErrNotFound) {
			t.Errorf("without a password: %v", err)
		}
		for range 3 {
			if a, until, err := f.PeekHandOver(t.Context(), link); err != nil || a.UID != kim.UID || !until.After(f.now()) {
				t.Fatal(a, until, err)
			}
		}
		passwords := make([]string, 8)
		var all sync.WaitGroup
		for i := range passwords {
			all.Go(func() {
				_, password, err := f.HandOver(t.Context(), link, Client{})
				if err != nil && !errors.Is(err, ErrNotFound) && !Transient(err) {
					t.Error(err)
				}
				passwords[i] = password
			})
		}
		all.Wait()
		all8 := strings.Join(passwords, "")
		if !regexp.MustCompile(`^[a-km-np-z2-9]{4}(-[a-km-np-z2-9]{4}){3}$`).MatchString(all8) {
			t.Fatalf("shown: %q", passwords)
		}
		token, _, _, err := f.LogIn(t.Context(), "kim", all8, "", Client{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.PeekHandOver(t.Context(), link); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if _, err := f.Session(t.Context(), token); err != nil {
			t.Error(err)
		}
		_, expired := f.customer("lee")
		f.pass(11 * time.Minute)
		if _, _, err := f.HandOver(t.Context(), expired, Client{}); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// Whoever is signing in while the account is reset or deleted has no token
// afterwards.
func TestEndUsersAreOutAtOnce(t *testing.T) {
	cheaply(t, func(t *testing.T, f fixture) {
		ada := f.account(NewAccount{Username: "ada", Email: "ada@example.com", Password: "a fine password"})
		for _, end := range []func(uid string) error{
			func(uid string) error { return f.ResetEndUser(t.Context(), uid, "another password", "boss") },
			func(uid string) error {
				return f.Tx(t.Context(), func(tx *Tx) error { return tx.ResetEndUser(t.Context(), uid, "boss") })
			},
			func(uid string) error {
				return f.Tx(t.Context(), func(tx *Tx) error { return tx.DeleteEndUser(t.Context(), uid, "boss") })
			},
		} {
			if err := end(ada.UID); !errors.Is(err, ErrNotFound) {
				t.Errorf("another kind of account: %v", err)
			}
			kim := f.account(NewAccount{Username: "kim", Password: "a fine password", EndUser: true})
			tokens := make([]string, 8)
			var all sync.WaitGroup
			for i := range tokens {
				all.Go(func() {
					token, _, _, err := f.LogIn(t.Context(), "kim", "a fine password", "", Client{})
					if err != nil && !errors.Is(err, ErrNotFound) {
						t.Error(err)
					}
					tokens[i] = token
				})
				if i == 4 {
					all.Go(func() {
						if err := end(kim.UID); err != nil {
							t.Error(err)
						}
					})
				}
			}
			all.Wait()
			for _, token := range tokens {
				if _, err := f.Session(t.Context(), token); !errors.Is(err, ErrNotFound) {
					t.Errorf("a token is still good: %v", err)
				}
			}
			if err := f.Tx(t.Context(), func(tx *Tx) error { return tx.DeleteEndUser(t.Context(), kim.UID, "boss") }); err != nil && !errors.Is(err, ErrNotFound) {
				t.Fatal(err)
			}
		}
		if _, _, _, err := f.LogIn(t.Context(), "ada", "a fine password", "", Client{}); err != nil {
			t.Error(err)
		}
		if list, err := f.EndUsers(t.Context(), 0); err != nil || len(list) != 0 {
			t.Error(list, err)
		}
	})
}
