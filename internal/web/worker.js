// Gatehouse sends this in place of a service worker of the site to a browser that is not signed in any more. It replaces
// the site's worker only when the session is over, makes way for the sign-in page, and is gone. The site's page registers
// its own worker again afterwards; what that one keeps in its caches stays.
"use strict";

const session = "PREFIX" + "/api/v1/session";
const navigates = "NAVIGATES"; // false where a page of ours that holds a form has just been shown

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
  if (!navigates) return;
  // Only what the person looks at, which has just been loaded: in other windows there may be text that is not saved.
  // They come in the order in which they were last looked at.
  const tops = windows.filter((w) => w.frameType !== "nested");
  const w = tops.find((w) => w.focused) ?? tops.find((w) => w.visibilityState === "visible");
  // Not awaited: the navigation waits for this worker to be active.
  if (w) w.navigate(w.url).catch(() => {});
}
