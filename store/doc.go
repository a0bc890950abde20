// Package store keeps who is known: users, what has been applied of every source, and the changes
// that wait to be told, in one bbolt file with one writer.
package store
