// Passkeys in Chromium with its own authenticator: made, shown alone and after the password, refused; and what the
// pages say where there is no JavaScript, or no passkey.
'use strict';

const { assert, run, told, virtualAuthenticator } = require('./harness');

const PASSWORD = 'plain words here';
const LOGIN = { 'Account name': 'anna', Password: PASSWORD };

run(async (open) => {
  const anna = await open({ javascript: true });
  await anna.go('/_sidegate/login?rd=%2F_sidegate%2Fprofile');
  assert.doesNotMatch(await anna.text(), /passkey/);
  await anna.send('Log in', LOGIN);
  await anna.look('profile-without-passkeys');
  const device = await virtualAuthenticator(anna.page);
  const credentials = async () => {
    const words = { authenticatorId: device.authenticatorId };
    return (await device.session.send('WebAuthn.getCredentials', words)).credentials;
  };
  const tell = (what, words) => {
    return device.session.send(`WebAuthn.${what}`, { authenticatorId: device.authenticatorId, ...words });
  };

  // Made, with a name; the first brings backup codes.
  await anna.follow('Add a passkey');
  await anna.look('passkey-new');
  await anna.send('Add a passkey', { 'Name of the passkey': 'this laptop' });
  assert.equal(await anna.title(), 'Backup codes');
  await anna.look('passkey-codes');
  const made = await credentials();
  assert.deepEqual(made.map((one) => [one.rpId, one.isResidentCredential]), [['localhost', true]]);
  await anna.follow('Go on');
  assert.match(await anna.text(), /this laptop/);
  await anna.look('profile-passkey');

  // Not a second one on the same device.
  await anna.follow('Add a passkey');
  await anna.page.getByRole('button', { name: 'Add a passkey' }).click();
  await anna.page.getByRole('alert').getByText('already').waitFor();
  await anna.look('passkey-known');
  assert.equal((await credentials()).length, 1);

  // Alone.
  await logOut(anna);
  await anna.go('/_sidegate/login?rd=%2F_sidegate%2Fprofile');
  assert.equal(await anna.page.getByRole('alert').count(), 0, 'whoever logged out is blamed for nothing');
  await anna.look('login-passkey');
  await anna.send('Log in with a passkey');
  anna.at('/_sidegate/profile');
  assert.ok((await credentials())[0].signCount > made[0].signCount);

  // After the password, and remembered by the tick of the other form.
  await logOut(anna);
  await anna.go('/_sidegate/login');
  await anna.send('Log in', LOGIN);
  assert.equal(await anna.title(), 'Second factor');
  await anna.look('second-factor-passkey');
  await anna.page.getByLabel('Do not ask for a code in this browser again').check();
  await anna.send('Log in with a passkey');
  assert.equal(await anna.title(), 'Hello, anna');
  const cookies = await anna.context.cookies();
  assert.ok(cookies.some((cookie) => cookie.name === 'sidegate-device'));

  // Whoever holds the device and is not known to it gets nothing from it, and the page says how to go on.
  await logOut(anna);
  await tell('setUserVerified', { isUserVerified: false });
  await anna.go('/_sidegate/login');
  await anna.page.getByRole('button', { name: 'Log in with a passkey' }).click();
  await anna.page.getByRole('alert').getByText('The browser gave no passkey').waitFor();
  await anna.look('login-passkey-cancelled');
  await tell('setUserVerified', { isUserVerified: true });
  await anna.page.getByLabel('Keep me logged in').check();
  await anna.send('Log in with a passkey');
  const session = (await anna.context.cookies()).find((cookie) => cookie.name === 'sidegate');
  assert.ok(session.expires > Date.now() / 1000 + 3600, 'for longer than the browser is open');

  // Another name, and the end of it: from then on the device's own copy opens nothing.
  await anna.go('/_sidegate/profile');
  const own = anna.page.getByRole('article', { name: 'this laptop' });
  await own.getByText('Another name').click();
  await anna.send('Save', { 'Name of the passkey': 'old laptop' }, own);
  await anna.look('profile-passkey-renamed');
  // Somebody else has one, so that the page goes on offering it.
  const bob = await open({ javascript: true });
  await bob.go('/_sidegate/login?rd=%2F_sidegate%2Fprofile%2Fpasskey');
  await bob.send('Log in', { 'Account name': 'bob', Password: PASSWORD });
  await virtualAuthenticator(bob.page);
  await bob.send('Add a passkey');
  assert.equal(await bob.title(), 'Backup codes');
  await anna.go('/_sidegate/admin/people/bob');
  await anna.look('admin-person-passkey');
  await anna.go('/_sidegate/profile');
  const renamed = anna.page.getByRole('article', { name: 'old laptop' });
  await renamed.getByText('Remove').first().click();
  await anna.send('Remove', {}, renamed);
  assert.match(await anna.text(), /lets nobody in any more/);
  await logOut(anna);
  await anna.go('/_sidegate/login');
  await anna.send('Log in with a passkey');
  assert.match(await anna.text(), /That passkey lets nobody in here/);
  await anna.look('login-passkey-wrong');

  // Without JavaScript the pages say so, and work.
  const plain = await open();
  await plain.go('/_sidegate/login');
  assert.match(await plain.text(), /A passkey needs JavaScript/);
  assert.equal(await plain.page.getByRole('button').count(), 1);
  await plain.look('login-passkey-no-javascript');
  await plain.send('Log in', LOGIN);
  assert.equal(await plain.title(), 'Hello, anna');
  await plain.go('/_sidegate/profile/passkey');
  await plain.look('passkey-new-no-javascript');

  // At a number, browsers know none.
  const numbered = await open({ javascript: true });
  await numbered.page.goto(told.origin.replace('localhost', '127.0.0.1') + '/_sidegate/login');
  assert.match(await numbered.text(), /Passkeys do not work at http:\/\/127\.0\.0\.1/);
  // Those were requests to elsewhere than the harness expects.
  numbered.complaints.length = 0;
  await numbered.look('login-passkey-no-name');
});

async function logOut(browser) {
  await browser.go('/_sidegate/logout');
  await browser.send('Log out');
}
