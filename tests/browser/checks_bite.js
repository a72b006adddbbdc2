// What every page is checked for is found on pages that have it.
'use strict';

const { LARGEST, assert, run } = require('./harness');

const page = (body) => `<!doctype html><html lang="en"><head><meta name="viewport" content="width=device-width">
<title>bad</title></head><body><main><h1>Bad</h1>${body}</main></body></html>`;

run(async (open) => {
  const browser = await open();
  await browser.go('/_sidegate/login');
  await browser.look('good');
  for (const [body, sentence] of [
    ['<div style="width:600px">wide</div>', /scrolls sideways/],
    ['<p style="margin:0">one</p><p style="margin:-18px 0 0">other</p>', /"one" lies on "other"/],
    ['<details><summary>more</summary><p style="color:#aaa;background:#fff">grey</p></details>', /color-contrast/],
    ['<input name="name">', /label \(critical\)/],
    ['<img src="/_sidegate/x.png">', /image-alt \(critical\)/],
  ]) {
    const found = await browser.judge(Buffer.from(page(body)), { 'content-type': 'text/html' });
    assert.match(found.join('\n'), sentence);
  }
  for (const [body, sentence] of [
    [`<!--${'x'.repeat(LARGEST)}-->`, /bytes/],
    ['<img alt="" src="http://elsewhere.test/x.png">', /a request to elsewhere/],
    ['<p style="color:red">styled</p>', /console: .*Content Security Policy/s],
  ]) {
    const headers = { 'content-type': 'text/html', 'content-security-policy': "style-src 'none'" };
    await browser.context.route('**/_sidegate/bad', (route) => route.fulfill({ headers, body: page(body) }));
    await browser.go('/_sidegate/bad');
    await assert.rejects(browser.look('bad'), sentence);
    await browser.context.unroute('**/_sidegate/bad');
  }
});
