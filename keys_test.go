package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"deskbell/bot/wecom/sim"
	"deskbell/store/storetest"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"
)

// A person binds a one-time password in the chat while the process dies at each
// stage of sending the picture: they see one picture, which they cannot pass on,
// and none any more once it is enabled. Meanwhile the host's commands work.
func TestOneTimePasswordFromBindToReset(t *testing.T) {
	stages := []string{"", "before-prepared", "before-send", "after-send", "before-outbox-done"}
	storetest.Each(t, func(t *testing.T, url string) {
		r := newRig(t, url, len(stages), sim.Config{RetryAfter: 20 * time.Millisecond})
		var i *instance
		for n, stage := range stages {
			who := agent(n)
			i = r.start("DESKBELL_FAILPOINT=" + stage + ":1")
			r.box.SetCallback(i.url)
			ctx := r.within(patience)
			d := r.box.Say(who, "/otp bind")
			if stage != "" {
				<-i.ended
				i = r.start()
				r.box.SetCallback(i.url)
				if !d.OK() {
					d = r.box.Redeliver(d)
				}
			}
			if !d.OK() {
				t.Fatalf("%s: %+v", stage, d)
			}
			inbox, err := r.box.WaitFor(ctx, who, func(inbox []sim.Received) bool { return len(imagesOf(inbox)) > 0 })
			shown := imagesOf(inbox)
			if err != nil || len(shown) != 1 || !shown[0].Safe || shown[0].Via != sim.Push {
				i.kill()
				t.Fatalf("%q: %+v, %v\n%s", stage, inbox, err, &i.log)
			}
			media, _ := r.box.Media(shown[0].MediaID)
			link, err := sim.Scan(media)
			if err != nil {
				t.Fatal(err)
			}
			key, err := otp.NewKeyFromURL(link)
			if err != nil || key.Issuer() != "IT支持服务" || key.AccountName() != who {
				t.Fatalf("%s: %v", link, err)
			}
			code, err := totp.GenerateCode(key.Secret(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			r.box.Say(who, "/otp verify "+code)
			if inbox, err = r.box.WaitFor(ctx, who, func(inbox []sim.Received) bool { return len(imagesOf(inbox)) == 0 }); err != nil {
				t.Fatalf("the picture stays: %+v", inbox)
			}
			for _, m := range inbox {
				if strings.Contains(m.Text, key.Secret()) {
					t.Error("the secret was sent as text")
				}
			}
			r.settled()
			if n < len(stages)-1 {
				i.kill()
			}
		}

		if code, out, errOut := shell(t, nil, "keys", "status", "--config", r.config); code != 0 || !strings.Contains(out, "5 one-time passwords  the present key") || !strings.Contains(out, "50 recovery codes") {
			t.Errorf("keys status: %d, %s%s", code, out, errOut)
		}
		if code, out, errOut := shell(t, nil, "otp-reset", "AGENT1", "--config", r.config); code != 0 || !strings.Contains(out, "AGENT1") {
			t.Errorf("otp-reset: %d, %s%s", code, out, errOut)
		}
		if code, _, errOut := shell(t, nil, "otp-reset", "agent1", "--config", r.config); code != exitFailed || !strings.Contains(errOut, "agent1 has no one-time password") {
			t.Errorf("otp-reset once more: %d, %s", code, errOut)
		}
		if _, err := r.box.WaitFor(r.within(patience), "agent1", func(inbox []sim.Received) bool {
			return strings.Contains(inbox[len(inbox)-1].Text, "重置了您的动态验证码")
		}); err != nil {
			t.Error(err)
		}
		r.settled()

		// A new key, while the instance with the old one is replaced.
		r.replace(`encryption_key = "Zm91ciBzY29yZSBhbmQgc2V2ZW4geWVhcnMgYWdvIG8="`,
			`encryption_key = "YSBrZXkgdGhhdCBjYW1lIGFmdGVyIHRoZSBvdGhlcnM="`+"\n"+`old_encryption_keys = ["Zm91ciBzY29yZSBhbmQgc2V2ZW4geWVhcnMgYWdvIG8="]`)
		if err := i.stop(); err != nil {
			t.Error(err)
		}
		i = r.start()
		r.box.SetCallback(i.url)
		if _, out, _ := shell(t, nil, "keys", "status", "--config", r.config); !strings.Contains(out, "an old key: deskbell keys rotate") {
			t.Errorf("keys status: %s", out)
		}
		if code, out, errOut := shell(t, nil, "keys", "rotate", "--config", r.config); code != 0 || !strings.HasPrefix(out, "44 values") {
			t.Errorf("keys rotate: %d, %s%s", code, out, errOut)
		}
		if d := r.box.Say("agent0", "/otp unbind 000000"); !strings.Contains(d.Reply, "验证码不对") {
			t.Errorf("with the new key: %+v", d)
		}
		r.replace(`old_encryption_keys = ["Zm91ciBzY29yZSBhbmQgc2V2ZW4geWVhcnMgYWdvIG8="]`, "")
		if err := i.stop(); err != nil {
			t.Error(err)
		}
		i = r.start()
		r.replace("YSBrZXkgdGhhdCBjYW1lIGFmdGVyIHRoZSBvdGhlcnM=", "YSBrZXkgbm9ib2R5IGhhcyBldmVyIHNlZW4gaGVyZSE=")
		if code, _, errOut := shell(t, nil, "keys", "status", "--config", r.config); code != exitFailed || !strings.Contains(errOut, "4 one-time passwords") {
			t.Errorf("with a key that opens nothing: %d, %s", code, errOut)
		}
		if err := i.stop(); err != nil {
			t.Error(err)
		}
		r.clean()
	})
}

// imagesOf are the images a person sees.
func imagesOf(inbox []sim.Received) (list []sim.Received) {
	for _, m := range inbox {
		if m.Type == "image" {
			list = append(list, m)
		}
	}
	return list
}

// replace edits the configuration.
func (r *rig) replace(before, after string) {
	r.Helper()
	text, err := os.ReadFile(r.config)
	if err == nil {
		err = os.WriteFile(r.config, []byte(strings.Replace(string(text), before, after, 1)), 0o600)
	}
	if err != nil {
		r.Fatal(err)
	}
}
