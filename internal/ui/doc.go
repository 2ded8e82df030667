// Package ui is how Gatehouse looks and responds: pages, assets, headers, messages, problem documents and the reading
// of what browsers and programs send.
//
// It knows nothing of sessions or accounts. Packages with pages of their own (internal/web and below, admin) give it
// their templates and texts as a [Source] and call [UI.Write].
//
// # Why it is safe to share an origin with the app behind the gate
//
//   - Scripts run only with the nonce of their response, so that a file somebody uploaded to the app is never a script
//     of ours; Trusted Types forbid the one script to build markup from text.
//   - Every value goes through html/template. No typed string of it (HTML, URL, JS, CSS, Attr) is used anywhere.
//   - No page holds a secret that outlives it and can be guessed by watching compressed sizes (BREACH): the nonce is
//     new each time and there is no synchronizer token, because [CrossOrigin] needs none. Pages that show a secret once
//     set [Page].Secret and are sent uncompressed.
//
// # Languages
//
// A [UI] is the pages in one language. A [Set] makes one for each language when somebody first asks for it. [Set.For]
// picks the one for a request: the person's choice (a cookie) counts before Accept-Language, and that before the
// configuration.
package ui
