package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"holdfast/internal/blob"
)

// List implements blob.Store, in the order of names. A server that lists
// otherwise is refused: it could go round in circles. Keys that are no names
// are passed over.
func (s *Store) List(ctx context.Context, prefix string, fn func(blob.Info) error) error {
	if err := blob.CheckPrefix(prefix); err != nil {
		return fmt.Errorf("list objects: %w", err)
	}
	l := listing{store: s, prefix: *s.key(prefix), fn: fn}
	for more := true; more; {
		var err error
		if more, err = l.page(ctx); l.stopped {
			return err
		} else if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
	}
	return nil
}

// listing is a listing under way.
type listing struct {
	store   *Store
	prefix  string // of keys
	fn      func(blob.Info) error
	last    string  // key
	next    *string // where the next page begins
	stopped bool    // by an error of fn
}

// page asks for one page and tells what is on it.
func (l *listing) page(ctx context.Context) (more bool, err error) {
	out, err := l.ask(ctx)
	if err != nil {
		return false, err
	}
	for _, o := range out.Contents {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		key := aws.ToString(o.Key)
		if key <= l.last || !strings.HasPrefix(key, l.prefix) {
			return false, fmt.Errorf("%w: its listing of %q shows %q after %q", blob.ErrRefused, l.prefix, line(key), l.last)
		}
		l.last = key
		name := strings.TrimPrefix(key, l.store.prefix)
		if o.Size == nil || blob.CheckName(name) != nil {
			continue
		}
		if err := l.fn(blob.Info{Name: name, Size: *o.Size}); err != nil {
			l.stopped = true
			return false, err
		}
	}
	l.next = out.NextContinuationToken
	if *out.IsTruncated && (l.next == nil || len(out.Contents) == 0) {
		return false, errors.New("the server's listing does not go on where it says it does")
	}
	return *out.IsTruncated, ctx.Err()
}

func (l *listing) ask(ctx context.Context) (*s3.ListObjectsV2Output, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := newWatch(ctx, l.store.stall)
	defer w.stop()
	out, err := l.store.client.ListObjectsV2(w.ctx, &s3.ListObjectsV2Input{
		Bucket: &l.store.bucket, Prefix: &l.prefix, ContinuationToken: l.next,
	})
	if err != nil {
		return nil, l.store.explain(ctx, w, err)
	}
	if out.IsTruncated == nil { // as the library makes of any page that somebody answers with
		return nil, errors.New("the server's answer is no listing")
	}
	return out, nil
}
