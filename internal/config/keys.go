package config

import (
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
)

// EnvKeyPassphrase is the environment variable that the passphrase of the
// master key file may come from.
const EnvKeyPassphrase = "HOLDFAST_KEY_PASSPHRASE"

// maxRecovery is how many recovery recipients there may be.
const maxRecovery = 16

// KeyPassphrase returns the passphrase that the environment holds, or nothing.
func KeyPassphrase() Secret { return Secret(os.Getenv(EnvKeyPassphrase)) }

// readKeyPassphrase completes MasterKeyPassphrase.
func (c *Config) readKeyPassphrase() error {
	c.MasterKeyPassphrase = KeyPassphrase()
	if c.MasterKeyPassphraseFile == "" {
		return nil
	}
	if c.MasterKeyPassphrase != "" {
		return badKey("master_key_passphrase_file", "%s is set too: keep one of them", EnvKeyPassphrase)
	}
	secret, err := ReadSecret(c.MasterKeyPassphraseFile)
	if err != nil {
		return badKey("master_key_passphrase_file", "%w", err)
	}
	c.MasterKeyPassphrase = secret
	return nil
}

// checkRecovery checks the recovery recipients.
func (c Config) checkRecovery() error {
	if len(c.RecoveryRecipients) > maxRecovery {
		return badKey("recovery_recipients", "has %d recipients, and at most %d are taken", len(c.RecoveryRecipients), maxRecovery)
	}
	seen := map[string]bool{}
	for i, text := range c.RecoveryRecipients {
		key := fmt.Sprintf("recovery_recipients[%d]", i)
		if strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-") {
			return badKey(key, "is a secret key: give its recipient, which begins with age1")
		}
		r, err := age.ParseX25519Recipient(text)
		if err != nil {
			return badKey(key, "%.80q is no age recipient (age1 and 58 characters)", text)
		}
		if seen[r.String()] {
			return badKey(key, "%s is given twice", r)
		}
		seen[r.String()] = true
	}
	return nil
}
