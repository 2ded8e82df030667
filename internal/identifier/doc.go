// Package identifier is the one place that says what a username, a display name, an e-mail address and a group may be,
// when two usernames are one, and what a text from outside proves. Pages, API, command line, seeds, providers and the
// store all ask here, so that they cannot disagree.
//
// There are three kinds of text, and the compiler tells them apart:
//
//   - what somebody sent: a plain string, which decides nothing;
//   - a proof: [Email], [Domain] and [Group], made only from a text that is exactly as it was signed and within the
//     limits. A text that cleaning, cutting, trimming or folding would change makes none: two values that become one
//     on the way would make two people one. Decisions compare proofs only;
//   - [Shown]: a cleaned and cut copy for pages, logs and headers. There is no way back from it to a proof.
//
// [Fold] finds what is too alike to be two names. It never decides who somebody is.
package identifier
