// Package identifier validates and compares usernames, display names, e-mail addresses and groups. Pages, API, command
// line, seeds, providers and the store all use it, so that they cannot disagree.
//
// There are three kinds of text, which have different types:
//
//   - untrusted input: a plain string, on which no decision may depend;
//   - a validated value: [Email] or [Group], created only from a text that is exactly as it was signed and within the
//     limits. A text that cleaning, truncating, trimming or folding would change is refused: if two values became equal
//     on the way, one user could act as another. Decisions compare such values only;
//   - [DisplayText]: a cleaned and truncated copy for pages, logs and headers. It is never compared.
//
// [Fold] finds names that are too similar. It never decides which user somebody is.
package identifier
