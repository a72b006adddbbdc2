// What comes between a person and a page: a choice of accounts, a login at another domain, a form that came too late, a
// login that leads nowhere, a second factor that is missing, a refusal. Without JavaScript, at two domains.
'use strict';

const { assert, run, sidegate, told } = require('./harness');

const PASSWORD = 'plain words here';
const LOGIN = { 'Account name': 'anna', Password: PASSWORD };
const encoded = encodeURIComponent;

run(async (open) => {
  await anotherDomain(await open());
  await lateForm(await open());
  await circles(await open());
  await choice(await open({ headers: { 'X-Forwarded-For': '203.0.113.7' } }));
  await refusals(await open());
});

// "One login for several domains": by the form at `public_url`, whose policy has to let its redirect go to the other.
async function anotherDomain(anna) {
  const films = `${told.elsewhere}/films?a=1`;
  await anna.go(films);
  assert.ok(anna.page.url().startsWith(`${told.origin}/_sidegate/login?rd=`), anna.page.url());
  await anna.send('Log in', LOGIN);
  assert.equal(anna.page.url(), films);
  assert.equal(await anna.title(), 'The lights');
  await anna.go(`${told.elsewhere}/_sidegate/profile`);
  anna.at('/_sidegate/profile');

  // "a logout at one is a logout at all"
  await anna.go(`${told.elsewhere}/_sidegate/logout`);
  await anna.look('logout-elsewhere');
  await anna.send('Log out');
  assert.ok(anna.page.url().startsWith(`${told.origin}/_sidegate/login?why=out`), anna.page.url());
  assert.match(await anna.text(), /You are logged out/);
  for (const origin of [told.origin, told.elsewhere]) {
    await anna.go(`${origin}/app`);
    assert.equal(await anna.title(), 'Log in');
  }

  // Chromium holds forms against that policy: one that is sent to another address goes nowhere.
  await anna.go('/_sidegate/login');
  await anna.page.locator('form').evaluate((form) => (form.action = 'http://stranger.example/'));
  const refused = anna.page.waitForEvent('console', (message) => /form-action/.test(message.text()));
  for (const [label, value] of Object.entries(LOGIN)) await anna.page.getByLabel(label, { exact: true }).fill(value);
  await anna.page.getByRole('button', { name: 'Log in' }).click({ noWaitAfter: true });
  await refused;
  anna.at('/_sidegate/login');
  anna.complaints.length = 0;

  await anna.go('/_sidegate/hop?to=x&state=y&rd=/');
  await anna.look('hop-bad');
  await anna.go(`/_sidegate/login?rd=${encoded('http://192.0.2.9:8480/app')}`);
  assert.match(await anna.text(), /You came from http:\/\/192\.0\.2\.9:8480/);
  await anna.look('login-from-elsewhere');
}

// "a form sent with an expired session can be confirmed and replayed after login"
async function lateForm(anna) {
  await anna.go('/lights');
  await anna.send('Log in', LOGIN);
  for (const [origin, name] of [[told.origin, 'kept'], [told.elsewhere, 'kept-elsewhere']]) {
    for (const [end, button] of [['sent', 'Send it'], ['discarded', 'Discard']]) {
      await anna.go(`${origin}/lights`);
      sidegate(['session', 'revoke', '--user', 'anna']);
      await anna.send('Switch', { Level: '20 %' });
      assert.equal(await anna.title(), 'Log in to go on');
      await anna.look(`${name}-${end}`);
      await anna.follow('Log in');
      await anna.send('Log in', LOGIN);
      assert.equal(await anna.title(), 'Send it now?');
      assert.ok(anna.page.url().startsWith(`${origin}/_sidegate/resend?id=`), anna.page.url());
      const question = anna.page.url();
      await anna.look(`${name}-${end}-resend`);
      await anna.send(button);
      if (end === 'sent') {
        assert.equal(await anna.title(), 'Switched: level=20+%25');
        assert.equal(anna.page.url(), `${origin}/lights/set?floor=1`);
      }
      await anna.go(question);
      assert.match(await anna.text(), /Nothing was sent now/);
      if (end === 'sent') await anna.look(`${name}-gone`);
    }
  }

  // What is too large to be kept.
  await anna.go('/lights');
  sidegate(['session', 'revoke', '--user', 'anna']);
  await anna.send('Switch', { Level: 'x'.repeat(5000) });
  assert.match(await anna.text(), /It could not be kept/);
  await anna.look('kept-not');
}

// "A login that leads nowhere is explained to the person instead of going round in circles"
async function circles(anna) {
  await anna.go('/app');
  await anna.send('Log in', LOGIN);
  // The application there asks for the login again and again, as a gateway does that passes no cookie on.
  await anna.go(`${told.elsewhere}/circle`);
  assert.equal(await anna.title(), 'The login leads nowhere');
  assert.match(await anna.text(), /does not pass your login on/);
  await anna.look('loop-not-passed-on');

  const forgetful = anna;
  await forgetful.context.clearCookies();
  await forgetful.go('/app');
  await forgetful.send('Log in', LOGIN);
  await forgetful.context.clearCookies({ name: 'sidegate' });
  await forgetful.go('/app');
  assert.match(await forgetful.text(), /did not send the cookie of the login back/);
  await forgetful.look('loop-no-cookie');
}

// "the login page offers people there a choice of accounts, without a password"
async function choice(guest) {
  await guest.go('/app');
  assert.match(await guest.text(), /Who are you\?/);
  await guest.look('choice');
  await guest.send('bob');
  guest.at('/app');
  await guest.go('/_sidegate/');
  await guest.look('choice-start');
  await guest.go('/_sidegate/profile');
  await guest.look('choice-profile');
}

async function refusals(bob) {
  await bob.go('/vault');
  await bob.send('Log in', { 'Account name': 'bob', Password: PASSWORD });
  assert.match(await bob.text(), /your account has none/);
  await bob.look('factor-missing');
  await bob.go('/admin');
  assert.match(await bob.text(), /You are bob/);
  assert.equal(await bob.page.getByRole('link', { name: 'anna@home.example' }).count(), 1);
  await bob.look('denied-contact');
}
