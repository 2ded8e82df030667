// Enhancements only: every page works without this file. Text goes in by textContent, never as markup.
(() => {
"use strict";
const each = (sel, fn) => document.querySelectorAll(sel).forEach(fn);
const byId = (id) => document.getElementById(id);

// Show and hide a password. The field is a password again before it is sent, so that browsers do not keep it as text.
each("button[data-reveal]", (b) => {
  const field = byId(b.dataset.reveal), show = b.textContent, label = b.getAttribute("aria-label");
  if (!field) return;
  const set = (visible) => {
    const at = [field.selectionStart, field.selectionEnd];
    field.type = visible ? "text" : "password";
    b.textContent = visible ? b.dataset.hide : show;
    b.setAttribute("aria-label", visible ? b.dataset.hideLabel : label);
    if (document.activeElement === field) field.setSelectionRange(at[0], at[1]);
  };
  b.hidden = false;
  b.addEventListener("click", () => set(field.type === "password"));
  if (field.form) field.form.addEventListener("submit", () => set(false));
});

each("[data-caps]", (hint) => {
  const field = byId(hint.dataset.caps);
  if (!field) return;
  const look = (e) => {
    const on = e.getModifierState && e.getModifierState("CapsLock");
    const text = on ? hint.dataset.text : "";
    if (hint.textContent !== text) hint.textContent = text;
  };
  field.addEventListener("keydown", look);
  field.addEventListener("keyup", look);
  field.addEventListener("blur", () => { hint.textContent = ""; });
});

each("button[data-copy]", (b) => {
  const field = byId(b.dataset.copy), said = byId(b.dataset.status);
  if (!field || !navigator.clipboard) return;
  b.hidden = false;
  b.addEventListener("click", () => {
    field.select();
    navigator.clipboard.writeText(field.value).then(() => { if (said) said.textContent = b.dataset.done; }, () => {});
  });
});

each("button[data-print]", (b) => {
  b.hidden = false;
  b.addEventListener("click", () => print());
});

// One box picks all rows of a page.
each("input[data-all]", (all) => {
  const boxes = all.form.querySelectorAll("input[name=id]");
  all.hidden = false;
  all.addEventListener("change", () => boxes.forEach((b) => { b.checked = all.checked; }));
});

// The server writes UTC; people read their own time, in the form of their region where it speaks the page's language,
// and lately as how long ago. The month is a word: 3/4 means two days.
const lang = document.documentElement.lang, base = (l) => l.split("-")[0];
const mine = (navigator.languages || []).find((l) => base(l) === base(lang)) || lang;
const locale = mine === "en" ? "en-GB" : mine;
const ago = (seconds) => {
  const say = new Intl.RelativeTimeFormat(lang, { numeric: "auto" });
  for (const [unit, size, most] of [["day", 86400, 7], ["hour", 3600, 24], ["minute", 60, 60]]) {
    const n = Math.trunc(seconds / size);
    if (n !== 0) return Math.abs(n) < most ? say.format(n, unit) : "";
  }
  return say.format(0, "minute");
};
each("time[datetime]", (el) => {
  const t = new Date(el.dateTime), exact = "exact" in el.dataset;
  if (isNaN(t)) return;
  const text = t.toLocaleString(locale, { year: "numeric", month: "short", day: "numeric", hour: "2-digit",
    minute: "2-digit", second: exact ? "2-digit" : undefined, timeZoneName: exact ? "short" : undefined });
  const near = "ago" in el.dataset ? ago((t - Date.now()) / 1000) : "";
  el.title = near ? text : el.textContent;
  el.textContent = near || text;
});

// The part after # never reaches the server; carry it through the sign-in.
if (location.hash.length > 1) {
  each("input[name=rt],input[name=back]", (f) => { if (f.value && !f.value.includes("#")) f.value += location.hash; });
  each("a[data-rt]", (a) => {
    const u = new URL(a.href);
    for (const name of ["rt", "back"]) {
      const at = u.searchParams.get(name);
      if (at && !at.includes("#")) { u.searchParams.set(name, at + location.hash); a.href = u.href; }
    }
  });
}

// What was typed as username goes along to the provider.
each("a[data-hint]", (a) => a.addEventListener("click", () => {
  const name = byId("username"), u = new URL(a.href);
  u.searchParams.delete("login_hint");
  if (name && name.value) u.searchParams.set("login_hint", name.value);
  a.href = u.href;
}));

// A passkey. The script gets the options of a ceremony, hands them to the browser, puts what that responds into the form,
// and sends the form like any other: errors are pages. Cancelling is no error. Autofill waits in the background for
// somebody to choose a passkey in the name field; the button, or leaving the page, ends that.
const signals = window.PublicKeyCredential || {};
each("form[data-passkey]", (form) => {
  const create = form.dataset.passkey === "create", b = form.querySelector("button"), said = form.querySelector("[role=status]");
  const parse = signals[create ? "parseCreationOptionsFromJSON" : "parseRequestOptionsFromJSON"];
  if (!navigator.credentials || !parse || !b) return;
  const about = form.elements.about;
  let current = null, renewal = 0;
  const stop = () => { clearTimeout(renewal); if (current) { current.abort(); current = null; } };
  const say = (text) => { if (said.textContent !== text) said.textContent = text; };
  const options = (signal) => fetch(form.dataset.options, { method: "POST", credentials: "same-origin", signal,
    headers: { Accept: "application/json" }, body: new URLSearchParams(about ? { about: about.value } : {}) }).then((r) => {
    if (!r.ok) throw new Error("options: " + r.status);
    return r.json();
  });
  const send = (state, credential) => {
    form.elements.state.value = state;
    form.elements[create ? "attestation" : "assertion"].value = JSON.stringify(credential);
    const keep = form.dataset.keep && byId(form.dataset.keep);
    if (keep && keep.checked) {
      const copy = document.createElement("input");
      copy.type = "hidden"; copy.name = keep.name; copy.value = keep.value;
      form.append(copy);
    }
    form.requestSubmit();
  };
  const run = async (mediation) => {
    stop();
    const mine = current = new AbortController();
    try {
      const o = await options(mine.signal);
      const request = { publicKey: parse.call(signals, o.publicKey), signal: mine.signal };
      if (mediation) {
        request.mediation = mediation;
        renewal = setTimeout(() => { if (current === mine) run(mediation); }, 480000);
      }
      const credential = await navigator.credentials[create ? "create" : "get"](request);
      if (current !== mine || !credential) return;
      send(o.state, credential);
    } catch (e) {
      if (current !== mine) return;
      current = null;
      if (mediation) return;
      say(e.name === "NotAllowedError" || e.name === "AbortError" ? "" : e.name === "SecurityError" ? form.dataset.address :
        e.name === "InvalidStateError" ? form.dataset.exists : form.dataset.failed);
      autofill();
    }
  };
  const autofill = () => {
    if (!("autofill" in form.dataset) || !signals.isConditionalMediationAvailable) return;
    signals.isConditionalMediationAvailable().then((can) => { if (can && !current) run("conditional"); }, () => {});
  };
  form.hidden = false;
  b.addEventListener("click", () => { say(""); run(); });
  // Enter in the field for a name is a press of the button.
  form.addEventListener("submit", (e) => {
    if (form.elements.state.value) return;
    e.preventDefault();
    b.click();
  });
  each("form:not([data-passkey])", (other) => other.addEventListener("submit", stop));
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (e) => { if (e.persisted) { form.elements.state.value = ""; autofill(); } });
  autofill();
});

// The password manager learns that its owner has removed this one passkey: this one, and nothing about any other.
each("[data-passkey-removed]", (el) => {
  if (!signals.signalUnknownCredential) return;
  signals.signalUnknownCredential({ rpId: el.dataset.rp, credentialId: el.dataset.passkeyRemoved }).catch(() => {});
});

// After its owner has changed the name, the password manager shows the new one beside the passkeys of the account.
each("[data-passkey-user]", (el) => {
  if (!signals.signalCurrentUserDetails) return;
  const { rp, passkeyUser, name, display } = el.dataset;
  signals.signalCurrentUserDetails({ rpId: rp, userId: passkeyUser, name, displayName: display }).catch(() => {});
});

// A second press of a button sends nothing twice. The button keeps the focus, and works again after Back.
each("form", (form) => {
  form.addEventListener("submit", (e) => {
    const b = e.submitter;
    if (e.defaultPrevented) return;
    if (form.dataset.sent) { e.preventDefault(); return; }
    form.dataset.sent = "1";
    setTimeout(() => { delete form.dataset.sent; if (b) b.removeAttribute("aria-busy"); }, 15000);
    if (b) b.setAttribute("aria-busy", "true");
  });
});
addEventListener("pageshow", () => {
  each("form[data-sent]", (f) => { delete f.dataset.sent; });
  each("[aria-busy]", (b) => b.removeAttribute("aria-busy"));
});

// A sign-in page left open learns that the person signed in in another tab, and offers to go on. It asks for itself
// again rather than for the session: an anonymous answer is no error then.
const go = byId("signed-in-elsewhere");
const channel = window.BroadcastChannel ? new BroadcastChannel("gatehouse") : null;
if (go) {
  let asked = 0;
  const ask = () => {
    const now = Date.now();
    if (document.hidden || !go.hidden || now - asked < 2000) return;
    asked = now;
    fetch(location.pathname, { credentials: "same-origin", headers: { Accept: "text/html" } })
      .then((r) => r.ok ? r.text() : "")
      .then((html) => { if (html.includes("id=\"signed-in-as\"")) go.hidden = false; }, () => {});
  };
  document.addEventListener("visibilitychange", ask);
  if (channel) channel.onmessage = () => setTimeout(ask, 1500);
  each("form[data-sign-in]", (f) => f.addEventListener("submit", () => { if (channel) channel.postMessage("sent"); }));
}
if (channel && byId("signed-in-as")) channel.postMessage("in");
})();
