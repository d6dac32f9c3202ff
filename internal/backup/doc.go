// Package backup holds the words that every other part of Holdfast uses: the
// resources, their statuses and the moves between them, and the kinds of
// errors. It imports nothing but the standard library.
package backup
