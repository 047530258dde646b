// Package orchestrators holds service orchestrators to start from, each in a folder; its tests run every one of them.
package orchestrators
