// A house's own title, logo and colors; pages of refusals; every language on the pages where words are longest.
'use strict';

const { assert, run, sidegate, told } = require('./harness');

const PASSWORD = 'plain words here';
const CONSENT =
  '/oauth/authorize?response_type=code&client_id=https://app.example/&redirect_uri=https://app.example/back&scope=admin' +
  '&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256';

run(async (open) => {
  sidegate(['user', 'add', 'anna', '--password-stdin'], `${PASSWORD}\n`);
  sidegate(['user', 'add', 'bob', '--password-stdin'], `${PASSWORD}\n`);
  const bob = await open();
  await bob.go('/admin');
  await bob.look('login');
  const logo = bob.page.locator('.brand img');
  assert.deepEqual(await logo.evaluate((image) => [image.complete, image.naturalWidth]), [true, 40]);
  await bob.send('Log in', { 'Account name': 'bob', Password: PASSWORD });
  await bob.look('denied');
  for (const [path, name] of [['/nowhere', 'not-found'], ['/gone', 'bad-gateway']]) {
    await bob.go(path);
    await bob.look(name);
    await bob.follow('Start page');
    assert.equal(await bob.title(), 'Hello, bob');
  }
  await bob.look('start');

  // Over http at a name of a network, where the password can be read on its way.
  const far = await open();
  await far.go(`${told.elsewhere}/_sidegate/login`);
  assert.match(await far.text(), /This connection is not encrypted/);
  await far.look('login-insecure');

  // A script in the logo is in a page of ours when it is opened by itself, and does not run.
  const direct = await open({ javascript: true });
  await direct.go('/_sidegate/logo');
  assert.equal(await direct.page.title(), '');
  const refused = direct.complaints.splice(0);
  assert.ok(refused.some((text) => /Blocked script execution|Content Security Policy/.test(text)), `${refused}`);

  for (const language of ['de', 'fr', 'es', 'nl']) {
    const other = await open({ language });
    await other.go('/_sidegate/login');
    await other.look(`${language}-login`);
    await other.page.locator('input[name=name]').fill('anna');
    await other.page.locator('input[name=password]').fill(PASSWORD);
    const arrived = other.page.waitForNavigation({ waitUntil: 'domcontentloaded' });
    await other.page.keyboard.press('Enter');
    await arrived;
    for (const [name, path] of [
      ['profile', '/profile'], ['logout', '/logout'], ['app', '/profile/app'], ['admin-health', '/admin'],
      ['admin-people', '/admin/people'], ['admin-person', '/admin/people/bob'], ['admin-bans', '/admin/bans'],
      ['admin-decisions', '/admin/decisions'], ['consent', CONSENT], ['consent-wrong', CONSENT.replace('S256', 'plain')],
    ]) {
      await other.go(`/_sidegate${path}`);
      await other.look(`${language}-${name}`);
    }
    await other.close();
  }
});
