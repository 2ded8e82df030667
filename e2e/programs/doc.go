// Package programs has the clients of docs/programs.md themselves, behind a real gate and before the servers that they are
// for, with the lines of that page: make programs.
package programs
