// The pictures of docs/screenshots: target/browser/screenshots/pictures, made small with pngquant.
'use strict';

const { assert, run, sidegate, told } = require('./harness');

const PASSWORD = 'plain words here';

run(async (open) => {
  for (const words of [['anna', '--name', 'Anna'], ['ben', '--group', 'family'], ['carla', '--group', 'family']]) {
    sidegate(['user', 'add', ...words, '--password-stdin'], `${PASSWORD}\n`);
  }
  const get = (token, path) => fetch(told.origin + path, { headers: { authorization: `Bearer ${token}` } });
  const token = (name, user) => sidegate(['token', 'create', name, '--user', user, '--expires', '90d']).trim();
  const thermometer = token('thermometer', 'anna');
  await get(thermometer, '/lights');
  await get(token('phone', 'anna'), '/lights');
  const shot = (browser, name, clip) => browser.picture(name, { clip, fullPage: true });
  const logIn = (browser) => browser.send('Log in', { 'Account name': 'anna', Password: PASSWORD });
  const phone = { phone: true, javascript: false };

  const light = await open(phone);
  await light.go('/_sidegate/');
  await light.look('login-whole');
  await shot(light, 'login', { x: 0, y: 0, width: 390, height: 560 });
  const dark = await open({ ...phone, dark: true });
  await dark.go('/_sidegate/');
  await logIn(dark);
  await dark.look('start-whole');
  await shot(dark, 'start', { x: 0, y: 0, width: 390, height: 560 });

  const desk = await open({ dark: false });
  await desk.go('/_sidegate/profile');
  await logIn(desk);
  assert.equal(await desk.title(), 'Your profile');
  await desk.look('profile-whole');
  const tokens = await desk.page.locator('section[aria-labelledby=tokens]').boundingBox();
  const factor = await desk.page.locator('section[aria-labelledby=factors]').boundingBox();
  const top = tokens.y - 24;
  await shot(desk, 'profile', { x: 180, y: top, width: 920, height: factor.y + factor.height + 24 - top });
  const night = await open({ dark: true });
  await night.go('/_sidegate/');
  await logIn(night);
  const tablet = token('tablet', 'ben');
  await get(tablet, '/lights');
  await get('oh.phone.mistyped', '/lights');
  await get(tablet, '/admin');
  await get(token('laptop', 'carla'), '/lights');
  await get(thermometer, '/admin');
  await night.go('/_sidegate/admin/decisions');
  await night.look('decisions-whole');
  await shot(night, 'decisions', { x: 180, y: 0, width: 920, height: 860 });
});
