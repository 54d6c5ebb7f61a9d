package store

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"deskbell/bot"

	"github.com/google/uuid"
	"golang.org/x/crypto/argon2"
)

// What an Argon2id of a namespace's password costs: OWASP's minimum, some 30 ms
// of one core. A salt begins with the costs it was made for, so that another
// release may choose others for new devices.
const (
	argonMemory = 19 << 10 // KiB
	argonTime   = 2
)

// newSalt is for one device, whose passwords share it: so a try is hashed once
// and compared with all of them.
func (h *hasher) newSalt() string { return fmt.Sprintf("%d.%d.%s", h.memory, argonTime, rand.Text()) }

// argon hashes a password of a namespace. It waits for the same turns as the
// passwords of people: they share what hashing may take of the machine.
func (h *hasher) argon(ctx context.Context, salt, password string) ([]byte, error) {
	var memory, passes uint32
	if _, err := fmt.Sscanf(salt, "%d.%d.", &memory, &passes); err != nil || memory == 0 || passes == 0 {
		return nil, errors.New("hash a namespace's password: unusable salt")
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	h.argoned.Add(1)
	return argon2.IDKey([]byte(password), []byte(salt), passes, memory, 1, 32), nil
}

// configPlace is where a password's hash is sealed for. The seal keeps a stolen
// database from being of use for guessing, and unlike a keyed hash it can be
// made anew when the key changes.
func configPlace(id string) string { return "device_configs/" + id }

// match finds the configuration that a password opens, or nil. It looks at all
// of them, whichever fits, and compares in constant time.
func (k *keyring) match(list []DeviceConfig, password string, hash []byte) (found *DeviceConfig, err error) {
	for i := range list {
		want, err := k.open(configPlace(list[i].ID), list[i].Password)
		if err != nil {
			return nil, fmt.Errorf("password of a device: %w", err)
		}
		fits := subtle.ConstantTimeCompare(want, hash) == 1
		if want == nil {
			fits = password == ""
		}
		if fits {
			found = &list[i]
		}
	}
	return found, nil
}

// decoy stands for the device that a namespace does not have, and for each
// configuration that a device could have and has not.
type decoy struct{ salt, password string }

func newDecoy(k *keyring, h *hasher) decoy {
	nobodys := make([]byte, 32)
	_, _ = rand.Read(nobodys)
	return decoy{h.newSalt(), k.seal(configPlace(""), nobodys)}
}

// entrance is what a try at a namespace needs: the device and as many
// configurations as one can have, of which only what match looks at is read.
// Where there are fewer, or no device, decoys stand in; and it is one row that is
// read, in each case. So the time tells next to nothing of whether there is such
// a namespace, and of how many passwords it has.
func (s *Store) entrance(ctx context.Context, namespace string) (d Device, list []DeviceConfig, err error) {
	gather := "group_concat"
	if s.pg {
		gather = "string_agg"
	}
	ns, all := canonicalNamespace(namespace), ""
	err = s.reads.NewRaw("SELECT COALESCE(max(id), ''), COALESCE(max(salt), ?), COALESCE((SELECT "+gather+
		"(id || ' ' || revision || ' ' || password, ',') FROM device_configs WHERE device = (SELECT id FROM devices WHERE ns_key = ?)), '') FROM devices WHERE ns_key = ?",
		s.decoy.salt, ns, ns).Scan(ctx, &d.ID, &d.Salt, &all)
	if err != nil {
		return Device{}, nil, fmt.Errorf("look up a namespace: %w", err)
	}
	list = make([]DeviceConfig, maxConfigs)
	for i := range list {
		one, rest, _ := strings.Cut(all, ",")
		fields := strings.SplitN(one, " ", 3)
		if all = rest; len(fields) < 3 {
			list[i].Password = s.decoy.password
			continue
		}
		list[i].ID, list[i].Password = fields[0], fields[2]
		if list[i].Revision, err = strconv.Atoi(fields[1]); err != nil {
			return Device{}, nil, fmt.Errorf("look up a namespace: %w", err)
		}
	}
	return d, list, nil
}

// OpenNamespace gives an app a token of the device that has this namespace, as
// the configuration with this password says. ErrNotFound is an unknown
// namespace, Denied a wrong password; both come after the same work.
func (s *Store) OpenNamespace(ctx context.Context, namespace, password, appID string, from Client) (token string, app App, err error) {
	d, configs, err := s.entrance(ctx, namespace)
	if err != nil {
		return "", App{}, err
	}
	unknown := d.ID == ""
	hash, err := s.hasher.argon(ctx, d.Salt, password)
	if err != nil {
		return "", App{}, err
	}
	config, err := s.keys.match(configs, password, hash)
	if err != nil {
		return "", App{}, err
	}
	err = s.Tx(ctx, func(tx *Tx) error {
		entry := AuditEntry{Actor: "app", Action: "app.token", Target: d.ID, Detail: from.String()}
		if config == nil {
			entry.Target, entry.Result = "device:unknown", "refused"
			if !unknown {
				entry.Target = d.ID
			}
			tx.Audit(entry)
			return nil
		}
		token, app, err = tx.newApp(ctx, d, *config, appID)
		tx.Audit(entry)
		return err
	})
	switch {
	case err != nil:
		return "", App{}, err
	case unknown:
		return "", App{}, ErrNotFound
	case config == nil:
		return "", App{}, bot.Fail(bot.Denied, "device.refused", nil, nil)
	}
	return token, app, nil
}

// newApp makes a token for a configuration, if that is still what it was when
// the password was compared with it.
func (tx *Tx) newApp(ctx context.Context, d Device, c DeviceConfig, appID string) (string, App, error) {
	if err := tx.hold(ctx, d.ID); errors.Is(err, ErrNotFound) {
		return "", App{}, fmt.Errorf("use a configuration: %w", errRaced)
	} else if err != nil {
		return "", App{}, err
	}
	err := tx.db.NewUpdate().Model((*DeviceConfig)(nil)).Set("used_at = ?", tx.Now).
		Where("id = ?", c.ID).Where("revision = ?", c.Revision).Returning("device_type, read_only").Scan(ctx, &c.Type, &c.ReadOnly)
	if errors.Is(err, sql.ErrNoRows) {
		return "", App{}, fmt.Errorf("use a configuration: %w", errRaced)
	}
	if err != nil {
		return "", App{}, fmt.Errorf("use a configuration: %w", err)
	}
	app := App{
		ID: uuid.NewString(), Device: d.ID, Config: c.ID, AppID: appID, Type: c.Type, ReadOnly: c.ReadOnly,
		InstalledAt: tx.moment(), UpdatedAt: tx.moment(), LastUsedAt: tx.moment(), ExpiresAt: tx.moment().Add(appLife),
	}
	token := newToken(kindApp)
	app.Hash = tx.s.keys.digest(kindApp, token)
	if _, err := tx.db.NewInsert().Model(&app).Returning("NULL").Exec(ctx); err != nil {
		return "", App{}, fmt.Errorf("make an app's token: %w", err)
	}
	return token, app, tx.fewApps(ctx, c.ID)
}

// NamespaceKey is what tries at a namespace are counted by: one key however it
// is spelt, and a short one however long it is.
func (s *Store) NamespaceKey(namespace string) string {
	return mac(s.keys.keys[0].hash, "namespace", canonicalNamespace(namespace))
}
