// Package account is the pages on which people look after their own account: profile, password, sessions, providers,
// activity, appearance. Every change goes through the service of that name, internal/account.
package account
