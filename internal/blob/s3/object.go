package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"holdfast/internal/blob"
)

// maxDrain is how much of an answer that nobody needs is read, so that its
// connection can be used again.
const maxDrain = 256 << 10

// Put implements blob.Store. The server compares the body's hash before it
// keeps anything.
func (s *Store) Put(ctx context.Context, name string, body *io.SectionReader) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("put object: %w", err)
	}
	if err := blob.CheckBody(body); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	if err := s.put(ctx, name, body); err != nil {
		return fmt.Errorf("put object %s: %w", name, err)
	}
	return nil
}

func (s *Store) put(ctx context.Context, name string, body *io.SectionReader, more ...func(*s3.Options)) error {
	w := newWatch(ctx, s.stall)
	defer w.stop()
	// A section of its own leaves the position of the caller's body alone.
	up := &upload{SectionReader: io.NewSectionReader(body, 0, body.Size()), watch: w}
	_, err := s.client.PutObject(w.ctx, &s3.PutObjectInput{
		Bucket: &s.bucket, Key: s.key(name), Body: up, ContentLength: aws.Int64(body.Size()),
	}, more...)
	if failed := up.finish(); err != nil && failed != nil && ctx.Err() == nil {
		return fmt.Errorf("read the body: %w", failed)
	}
	return s.explain(ctx, w, err)
}

// Get implements blob.Store: one request, which reads into p.
func (s *Store) Get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	if err := check(ctx, name); err != nil {
		return 0, fmt.Errorf("get object: %w", err)
	}
	n, err := s.get(ctx, name, p, off)
	if err != nil {
		return n, fmt.Errorf("get object %s: %w", name, err)
	}
	return n, nil
}

func (s *Store) get(ctx context.Context, name string, p []byte, off int64) (int, error) {
	switch {
	case len(p) == 0, off >= blob.MaxSize, off < -blob.MaxSize:
		return s.outside(ctx, name, p)
	case off < -int64(len(p))-maxDrain:
		// The end of the object, as a suffix, would be far more than is wanted.
		size, err := s.stat(ctx, name)
		if err != nil {
			return 0, err
		}
		if size+off < 0 {
			return 0, io.ErrUnexpectedEOF
		}
		off += size
	}
	w := newWatch(ctx, s.stall)
	defer w.stop()
	out, err := s.client.GetObject(w.ctx, &s3.GetObjectInput{
		Bucket: &s.bucket, Key: s.key(name), Range: aws.String(rangeHeader(off, len(p))),
	})
	if statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		return 0, io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, s.explain(ctx, w, err)
	}
	defer out.Body.Close()
	return s.receive(ctx, w, out, p, off)
}

// outside answers where no byte can be read: it only matters whether the
// object is there.
func (s *Store) outside(ctx context.Context, name string, p []byte) (int, error) {
	if _, err := s.stat(ctx, name); err != nil {
		return 0, err
	}
	if len(p) > 0 {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, nil
}

// receive reads the part of an object that an answer holds into p.
func (s *Store) receive(ctx context.Context, w *watch, out *s3.GetObjectOutput, p []byte, off int64) (int, error) {
	got, err := answeredRange(out, off, len(p))
	if err != nil {
		return 0, err
	}
	start, count := blob.Window(got.size, off, len(p))
	if count == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if start != got.first || got.first+int64(count) > got.end {
		return 0, fmt.Errorf("%w: asked for %d bytes from %d of %d, the server answers with those from %d to %d",
			errRange, count, start, got.size, got.first, got.end-1)
	}
	n, err := readFull(w, out.Body, p[:count])
	if err != nil {
		return n, s.explain(ctx, w, fmt.Errorf("the answer ended after %d of %d bytes: %w", n, count, err))
	}
	if rest := got.end - got.first - int64(n); rest <= maxDrain {
		// What is behind it is of no interest, only that the connection is free.
		_, _ = io.CopyN(io.Discard, out.Body, rest+1)
	}
	if n < len(p) {
		return n, io.ErrUnexpectedEOF
	}
	return n, nil
}

// readFull reads len(p) bytes, and reports each piece as progress.
func readFull(w *watch, r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
		w.progress()
	}
	if n == len(p) {
		return n, nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Stat implements blob.Store.
func (s *Store) Stat(ctx context.Context, name string) (int64, error) {
	if err := check(ctx, name); err != nil {
		return 0, fmt.Errorf("stat object: %w", err)
	}
	size, err := s.stat(ctx, name)
	if err != nil {
		return 0, fmt.Errorf("stat object %s: %w", name, err)
	}
	return size, nil
}

func (s *Store) stat(ctx context.Context, name string) (int64, error) {
	w := newWatch(ctx, s.stall)
	defer w.stop()
	out, err := s.client.HeadObject(w.ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	switch {
	case statusOf(err) == http.StatusNotFound && ctx.Err() == nil:
		return 0, s.absent(ctx, name)
	case err != nil:
		return 0, s.explain(ctx, w, err)
	case out.ContentLength == nil || *out.ContentLength < 0:
		return 0, errors.New("the server does not say how large it is")
	}
	return *out.ContentLength, nil
}

// absent returns the error for a key that HEAD finds nothing under. Its answer
// has no words, and is the same where the bucket is missing, or even the access
// key: the answer to GET tells.
func (s *Store) absent(ctx context.Context, name string) error {
	_, err := s.get(ctx, name, make([]byte, 1), 0)
	if err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		return blob.ErrNotFound // it has come since
	}
	return err
}

// Delete implements blob.Store.
func (s *Store) Delete(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return fmt.Errorf("delete object: %w", err)
	}
	w := newWatch(ctx, s.stall)
	defer w.stop()
	_, err := s.client.DeleteObject(w.ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: s.key(name)})
	if err = s.explain(ctx, w, err); err != nil && !errors.Is(err, blob.ErrNotFound) {
		return fmt.Errorf("delete object %s: %w", name, err)
	}
	return nil
}

func check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return blob.CheckName(name)
}
