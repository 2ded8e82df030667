// Gatehouse sends this in place of a service worker of the site to a browser that is not signed in any more. It replaces
// the site's worker only when the session is over, makes way for the sign-in page, and is gone. The site's page registers
// its own worker again afterwards; what that one keeps in its caches stays.
"use strict";

const session = "PREFIX" + "/api/v1/session";

self.addEventListener("install", (event) => event.waitUntil(takeOver()));
self.addEventListener("activate", (event) => event.waitUntil(giveWay()));

async function takeOver() {
  if (!self.registration.active) throw new Error("there is no service worker to replace: sign in first");
  const response = await fetch(session, { cache: "no-store", credentials: "same-origin" });
  if (response.status !== 401) throw new Error("the session is not over: the service worker stays");
  await self.skipWaiting();
}

async function giveWay() {
  await self.clients.claim();
  const windows = await self.clients.matchAll({ type: "window" });
  await self.registration.unregister();
  // Not awaited: the navigation waits for this worker to be active.
  for (const w of windows) w.navigate(w.url).catch(() => {});
}
