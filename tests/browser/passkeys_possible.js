// Chromium makes a passkey on a page of ours and signs with it, as the tests of passkeys need.
'use strict';

const { assert, run, virtualAuthenticator } = require('./harness');

run(async (open) => {
  const browser = await open({ javascript: true });
  await browser.go('/_sidegate/login');
  const { session, authenticatorId } = await virtualAuthenticator(browser.page);
  const signed = await browser.page.evaluate(async () => {
    const challenge = () => crypto.getRandomValues(new Uint8Array(32));
    const made = await navigator.credentials.create({
      publicKey: {
        rp: { id: location.hostname, name: 'here' },
        user: { id: challenge(), name: 'anna', displayName: 'Anna' },
        challenge: challenge(),
        pubKeyCredParams: [{ type: 'public-key', alg: -7 }],
        authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
      },
    });
    const got = await navigator.credentials.get({ publicKey: { challenge: challenge(), rpId: location.hostname } });
    return got.id === made.id && got.response.signature.byteLength > 60;
  });
  assert.equal(signed, true);
  const { credentials } = await session.send('WebAuthn.getCredentials', { authenticatorId });
  assert.deepEqual(credentials.map((one) => [one.rpId, one.isResidentCredential]), [['localhost', true]]);
});
