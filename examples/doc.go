// Package examples holds service files to start from; its tests deploy every one of them.
package examples
