// All that a person does here, without JavaScript: from the owner's link to the end of the login.
'use strict';

const { execFileSync } = require('node:child_process');
const { createHash, randomBytes } = require('node:crypto');
const http = require('node:http');
const { assert, code, run, sidegate, told } = require('./harness');

const PASSWORD = 'plain words here';

run(async (open) => {
  const anna = await open();
  const link = told.log.match(/\/_sidegate\/setup\?code=[A-Za-z0-9]+/)[0];

  // "an expired browser always lands here": before there is an owner, a page says what to do.
  await anna.go('/app');
  await anna.look('no-owner');
  await anna.go('/_sidegate/login');
  await anna.look('login-no-owner');

  await anna.go(link);
  await anna.look('setup');
  const account = { 'Account name': 'anna', 'New password': PASSWORD, 'The same password again': 'not the same' };
  await anna.send('Make the account', account);
  await anna.look('setup-mistake');
  await anna.send('Make the account', {
    'Your name for others (optional)': 'Anna Ö.',
    'New password': PASSWORD,
    'The same password again': PASSWORD,
  });
  assert.equal(await anna.title(), 'Hello, Anna Ö.');
  await anna.look('start');

  // Log out, and in again by the keyboard alone.
  await anna.follow('Log out');
  await anna.look('logout');
  await anna.send('Log out');
  await anna.look('login-logged-out');
  await anna.go('/_sidegate/login?rd=%2F_sidegate%2Fprofile');
  await anna.look('login');
  await anna.send('Log in', { 'Account name': 'anna', Password: 'wrong words here' });
  await anna.look('login-wrong');
  await byKeyboard(anna, 'anna', PASSWORD);
  assert.equal(await anna.title(), 'Your profile');
  await anna.look('profile');

  // A token, with lines to copy that work as they stand.
  await anna.page.getByText('Make a token').click();
  await anna.send('Make it', { Name: 'phone' });
  assert.equal(await anna.title(), 'Your new token');
  await anna.look('token');
  const lines = await anna.page.locator('pre.lines').innerText();
  const shell = lines.replaceAll('curl ', "curl -sS -o /dev/null -w '%{http_code}\\n' ");
  const statuses = execFileSync('bash', ['-c', shell], { encoding: 'utf8' });
  assert.equal(statuses, '200\n200\n200\n200\n');
  await anna.follow('Back to your profile');
  await anna.look('profile-token');

  await apps(anna);

  // A second factor. The code of the present step, then that of the next one, which are still good when a step
  // ends while they are typed.
  await anna.follow('Set up an app');
  await anna.look('app');
  const secret = (await anna.page.locator('code').first().innerText()).replaceAll(/\s/g, '');
  await anna.send('Set up an app', { 'The code that the app shows': code(secret) });
  assert.equal(await anna.title(), 'Backup codes');
  await anna.look('backup-codes');
  await anna.follow('Go on');
  await anna.look('profile-factor');
  await anna.follow('Log out');
  await anna.send('Log out');
  await byKeyboard(anna, 'anna', PASSWORD);
  assert.equal(await anna.title(), 'Second factor');
  await anna.look('second-factor');
  await anna.send('Go on', { Code: '000000' });
  await anna.look('second-factor-wrong');
  await anna.send('Go on', { Code: code(secret, 1) });
  assert.equal(await anna.title(), 'Hello, Anna Ö.');

  await administration(anna);

  // Who may not, is told who they are and whom to ask.
  sidegate(['user', 'add', 'bob', '--password-stdin'], `${PASSWORD}\n`);
  const bob = await open();
  await bob.go('/admin/x');
  assert.equal(await bob.title(), 'Log in');
  await byKeyboard(bob, 'bob', PASSWORD);
  bob.at('/admin/x');
  assert.match(await bob.text(), /You are bob/);
  await bob.look('denied');
  await bob.go('/_sidegate/admin');
  await bob.look('denied-administration');
  await bob.go('/_sidegate/nothing');
  await bob.look('nothing-here');

  // "session ended elsewhere → back at login"
  await bob.go('/_sidegate/profile');
  assert.equal(await bob.title(), 'Your profile');
  sidegate(['session', 'revoke', '--user', 'bob']);
  await bob.go('/_sidegate/profile');
  assert.equal(await bob.title(), 'Log in');

  // "log out everywhere"
  await anna.go('/_sidegate/profile');
  await anna.follow('Log out everywhere');
  await anna.send('Log out everywhere');
  assert.match(await anna.text(), /You are logged out/);
  await anna.go('/app');
  assert.equal(await anna.title(), 'Log in');
});

// An app of its own origin: its person comes to the gate, and back with a code, which the app takes for tokens.
async function apps(anna) {
  const app = http.createServer((request, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end('<!doctype html><html lang=en><title>App</title><link rel=icon href=data:,><h1>The app</h1>');
  });
  await new Promise((done) => app.listen(0, '127.0.0.1', done));
  const own = `http://127.0.0.1:${app.address().port}`;
  anna.apps.push(own);
  const verifier = randomBytes(32).toString('base64url');
  const asked = new URLSearchParams({
    response_type: 'code',
    client_id: own + '/',
    redirect_uri: own + '/back',
    state: 'word',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
  });
  const back = () => new URL(anna.page.url()).searchParams;
  await anna.go(`/_sidegate/oauth/authorize?${asked}`);
  assert.equal(await anna.title(), 'Let an app in?');
  await anna.look('consent');
  await anna.send('Do not');
  assert.equal(await anna.title(), 'The app');
  assert.equal(back().get('error'), 'access_denied');
  await anna.go(`/_sidegate/oauth/authorize?${asked}&scope=everything`);
  await anna.look('consent-wrong');
  await anna.follow(`Back to ${own.slice(7)}`);
  assert.equal(back().get('error'), 'invalid_scope');

  await anna.go(`/_sidegate/oauth/authorize?${asked}&scope=read-only`);
  await anna.look('consent-scope');
  await anna.send('Let it in');
  assert.equal(await anna.title(), 'The app');
  assert.deepEqual([back().get('state'), back().get('iss')], ['word', told.origin]);
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    code: back().get('code'),
    client_id: own + '/',
    redirect_uri: own + '/back',
    code_verifier: verifier,
  });
  const answer = await fetch(`${told.origin}/_sidegate/oauth/token`, { method: 'POST', body });
  const tokens = await answer.json();
  const ask = () => fetch(`${told.origin}/app`, { headers: { Authorization: `Bearer ${tokens.access_token}` } });
  assert.equal((await ask()).status, 200);

  await anna.go('/_sidegate/admin/people/anna');
  await anna.look('admin-person-apps');
  await anna.go('/_sidegate/profile');
  await anna.look('profile-apps');
  await anna.send('End its access');
  assert.match(await anna.text(), /The app has no access any more/);
  assert.equal((await ask()).status, 401);
  await new Promise((done) => app.close(done));
}

async function administration(anna) {
  await anna.follow('Administration');
  await anna.look('admin-health');
  await anna.follow('People');
  await anna.look('admin-people');
  await anna.page.getByText('Add somebody').first().click();
  await anna.send('Add somebody', {
    'Account name': 'carla',
    'Your name for others (optional)': 'Carla',
    'Groups': 'family, garden',
  });
  assert.match(await anna.text(), /The account is there/);
  await anna.look('admin-person');
  await anna.page.getByText('Make a one-time link').first().click();
  await anna.send('Make a one-time link');
  await anna.look('admin-link');
  await anna.follow('Back to the account');
  await anna.follow('People');
  await anna.look('admin-groups');
  await anna.follow('Bans');
  await anna.look('admin-bans-none');
  await anna.page.getByText('Ban somebody').click();
  await anna.send('Ban', { 'Address or network': '203.0.113.0/24' });
  await anna.look('admin-bans');
  await anna.follow('Decisions');
  await anna.look('admin-decisions');
  await anna.follow('Why?');
  await anna.look('admin-why');
  await anna.follow('Settings');
  await anna.look('admin-settings');
}

// "keyboard": with Tab and Enter from where a page begins.
async function byKeyboard(browser, name, password) {
  const { keyboard } = browser.page;
  const focused = () => browser.page.evaluate(() => document.activeElement?.name ?? '');
  for (const [field, text] of [['name', name], ['password', password]]) {
    for (let steps = 0; (await focused()) !== field; steps++) {
      assert.ok(steps < 12, `no way to ${field} by Tab`);
      await keyboard.press('Tab');
    }
    await keyboard.press('Control+A');
    await keyboard.type(text);
  }
  await Promise.all([browser.page.waitForNavigation({ waitUntil: 'domcontentloaded' }), keyboard.press('Enter')]);
}
