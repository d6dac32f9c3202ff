package config_test

import (
	"strings"
	"testing"

	"holdfast/internal/config"
)

const (
	recipient = "age1dc3f285a357dga8sc59cx7jsa0qamfgr9mwzz3fqjpg948hctu3sd5ukdt"
	secretKey = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ"
)

func TestRecoveryRecipients(t *testing.T) {
	list := func(texts ...string) string {
		return "recovery_recipients:\n  - " + strings.Join(texts, "\n  - ") + "\n"
	}
	dir := t.TempDir()
	for text, want := range map[string]string{
		list(recipient):            "",
		list(recipient, recipient): "recovery_recipients[1]: " + recipient + " is given twice",
		list("age1nothing"):        `recovery_recipients[0]: "age1nothing" is no age recipient (age1 and 58 characters)`,
		list(recipient, secretKey): "recovery_recipients[1]: is a secret key: give its recipient, which begins with age1",
		list(strings.Split(strings.Repeat(recipient+" ", 17), " ")[:17]...): "recovery_recipients: has 17 recipients, and at most 16 are taken",
	} {
		path := write(t, dir, "holdfast.yaml", text, 0o600)
		_, err := config.Load(path, config.Overrides{})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || err.Error() != path+": "+want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestKeyPassphrase(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "passphrase", "from the file\n", 0o600)
	withFile := write(t, dir, "file.yaml", "master_key_passphrase_file: "+dir+"/passphrase\n", 0o600)
	if c, err := config.Load(withFile, config.Overrides{}); err != nil || c.MasterKeyPassphrase.Reveal() != "from the file" {
		t.Errorf("from a file: %v", err)
	}
	missing := write(t, dir, "missing.yaml", "master_key_passphrase_file: "+dir+"/nothing\n", 0o600)
	if _, err := config.Load(missing, config.Overrides{}); err == nil || !strings.Contains(err.Error(), "master_key_passphrase_file: ") {
		t.Errorf("a missing file: %v", err)
	}
	t.Setenv(config.EnvKeyPassphrase, "from the environment")
	if c, err := config.Load("", config.Overrides{}); err != nil || c.MasterKeyPassphrase.Reveal() != "from the environment" {
		t.Errorf("from the environment: %v", err)
	}
	if _, err := config.Load(withFile, config.Overrides{}); err == nil || !strings.Contains(err.Error(), "HOLDFAST_KEY_PASSPHRASE is set too") {
		t.Errorf("from both: %v", err)
	}
}
