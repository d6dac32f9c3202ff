package quickstart

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The bounds of waiting for the service: how often it is asked, and how long.
const (
	firstPoll = 20 * time.Millisecond
	lastPoll  = 250 * time.Millisecond
	patience  = 10 * time.Minute
)

// Statuses that the API shows; every one of a failure begins alike.
const (
	available = "available"
	failed    = "error"
)

// newVolume makes an empty volume and waits until it is available.
func (c *Client) newVolume(ctx context.Context, name string, sizeGiB int64, tell func(status string)) (string, error) {
	id, err := c.create(ctx, "/volumes", object{"volume": object{"name": name, "size": sizeGiB}})
	if err != nil {
		return "", err
	}
	return id, c.wait(ctx, "/volumes/"+id, tell)
}

type newBackup struct {
	VolumeID    string `json:"volume_id"`
	Name        string `json:"name"`
	Incremental bool   `json:"incremental"`
}

// backUp makes a backup and waits until it is available.
func (c *Client) backUp(ctx context.Context, b newBackup, tell func(status string)) (string, error) {
	id, err := c.create(ctx, "/backups", object{"backup": b})
	if err != nil {
		return "", err
	}
	return id, c.wait(ctx, "/backups/"+id, tell)
}

// create posts a request and returns the id of what it makes.
func (c *Client) create(ctx context.Context, path string, request object) (string, error) {
	var answer map[string]struct {
		ID string `json:"id"`
	}
	if err := c.call(ctx, http.MethodPost, path, request, &answer); err != nil {
		return "", err
	}
	for _, made := range answer {
		if made.ID != "" {
			return made.ID, nil
		}
	}
	return "", fmt.Errorf("POST %s: the answer names no id", path)
}

// restore restores a backup to a new volume, and waits until that is
// available.
func (c *Client) restore(ctx context.Context, backup, name string, tell func(status string)) (string, error) {
	var answer struct {
		Restore struct {
			VolumeID string `json:"volume_id"`
		} `json:"restore"`
	}
	err := c.call(ctx, http.MethodPost, "/backups/"+backup+"/restore", object{"restore": object{"name": name}}, &answer)
	if err != nil {
		return "", err
	}
	return answer.Restore.VolumeID, c.wait(ctx, "/volumes/"+answer.Restore.VolumeID, tell)
}

// remove deletes a volume or backup, and waits until it is gone. Path is the
// resource's, "/volumes/…" or "/backups/…".
func (c *Client) remove(ctx context.Context, path string, tell func(status string)) error {
	if err := c.call(ctx, http.MethodDelete, path, nil, nil); err != nil {
		return err
	}
	if err := c.wait(ctx, path, tell); !isNotFound(err) {
		if err == nil {
			err = fmt.Errorf("%s is available again after DELETE", path)
		}
		return err
	}
	return nil
}

// wait asks for a resource until it is available. It fails when the resource
// is in error, or not there, or not done after a long time.
func (c *Client) wait(ctx context.Context, path string, tell func(status string)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("%s takes more than %v", path, patience))
	defer cancel()
	for pause := firstPoll; ; pause = min(lastPoll, pause*3/2) {
		var answer map[string]struct {
			Status     string `json:"status"`
			FailReason string `json:"fail_reason"`
		}
		if err := c.call(ctx, http.MethodGet, path, nil, &answer); err != nil {
			return err
		}
		for _, now := range answer {
			switch {
			case now.Status == available:
				return nil
			case strings.HasPrefix(now.Status, failed):
				return fmt.Errorf("%s has the status %s: %s", path, now.Status, cmp.Or(now.FailReason, "the log says why"))
			}
			tell(now.Status)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}
