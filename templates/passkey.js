"use strict";
// Between the form of a page and the browser's own dialogue for passkeys. Everything that is decided is decided
// by the server; without this file the rest of the page works as it is.
(() => {
  const form = document.querySelector("form[data-passkey]");
  if (!form || !window.PublicKeyCredential || !navigator.credentials) return;
  const show = (what, is) => form.querySelectorAll(`[data-${what}]`).forEach((part) => { part.hidden = !is; });
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  const listed = (keys) => (keys || []).map((key) => ({ ...key, id: bytes(key.id) }));

  const ask = async (options) => {
    options.challenge = bytes(options.challenge);
    if (form.dataset.passkey === "create") {
      options.user.id = bytes(options.user.id);
      options.excludeCredentials = listed(options.excludeCredentials);
      return navigator.credentials.create({ publicKey: options });
    }
    options.allowCredentials = listed(options.allowCredentials);
    return navigator.credentials.get({ publicKey: options });
  };

  const sent = (made) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (made.response[name]) response[name] = text(made.response[name]);
    }
    if (made.response.getTransports) response.transports = made.response.getTransports();
    return JSON.stringify({ id: made.id, rawId: text(made.rawId), type: made.type, response, extensions: {} });
  };

  show("without", false);
  show("with", true);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    show("cancelled", false);
    show("known", false);
    // What is ticked elsewhere on the page counts here too.
    document.querySelectorAll("input[type=checkbox]").forEach((box) => {
      const own = form.elements.namedItem(box.name);
      if (own && own !== box) own.value = box.checked ? "1" : "";
    });
    const fields = new URLSearchParams(new FormData(form));
    const answer = await fetch(`${form.action}/options`, { method: "POST", body: fields }).catch(() => null);
    // The page says what is wrong.
    if (!answer || !answer.ok) return form.submit();
    try {
      form.elements.namedItem("answer").value = sent(await ask((await answer.json()).publicKey));
    } catch (error) {
      return show(error.name === "InvalidStateError" ? "known" : "cancelled", true);
    }
    form.submit();
  });
})();
