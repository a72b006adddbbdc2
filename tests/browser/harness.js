// Opens Chromium on a gate that tests/browser.rs has started, and looks at pages: what each page must be, whatever
// it says, is checked here.
'use strict';

const assert = require('node:assert/strict');
const { execFileSync } = require('node:child_process');
const { createHmac } = require('node:crypto');
const path = require('node:path');
const { chromium } = require('playwright-core');
const axeSource = require('axe-core').source;

// origin, elsewhere, binary, config, log, view, shots, pictures: as in tests/browser.rs
const told = JSON.parse(process.env.SCENARIO);
const PHONE = { width: 390, height: 844 };
const DESKTOP = { width: 1280, height: 800 };
const LARGEST = 30 * 1024;
// Without a sandbox it runs as root, and without the others it looks for its maker's hosts.
const FLAGS = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--hide-scrollbars',
  `--host-resolver-rules=MAP ${new URL(told.elsewhere).hostname} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1`,
];

let chrome;

// A browser of its own cookies. `javascript: true` for what is about passkeys, or about the pages with it.
async function open(options = {}) {
  chrome ??= await chromium.launch({ executablePath: '/usr/bin/chromium', args: FLAGS });
  const view = { ...told.view, ...options };
  const looks = {
    viewport: view.phone ? PHONE : DESKTOP,
    deviceScaleFactor: view.phone ? 2 : 1,
    isMobile: view.phone,
    hasTouch: view.phone,
    colorScheme: view.dark ? 'dark' : 'light',
    locale: view.language,
    extraHTTPHeaders: view.headers ?? {},
  };
  const context = await chrome.newContext({ ...looks, javaScriptEnabled: view.javascript ?? false });
  const page = await context.newPage();
  const browser = new Browser(context, page, looks);
  browser.watch();
  return browser;
}

class Browser {
  constructor(context, page, looks) {
    Object.assign(this, { context, page, looks, complaints: [], shown: null, apps: [] });
  }

  watch() {
    const complain = (what) => this.complaints.push(what);
    this.context.on('request', (request) => {
      const url = new URL(request.url());
      const ours = [told.origin, told.elsewhere, ...this.apps].includes(url.origin) || url.protocol === 'data:';
      if (!ours) complain(`a request to elsewhere: ${url}`);
    });
    this.page.on('response', (response) => {
      if (response.request().isNavigationRequest() && response.status() !== 303) this.shown = response;
    });
    this.page.on('console', (message) => {
      // A refusal is a page of ours, and Chromium notes its status.
      const status = /^Failed to load resource: the server responded with a status of [45]/.test(message.text());
      // Over plain http at another name than localhost, Chromium notes that it leaves this header aside.
      const plain = /^The Cross-Origin-Opener-Policy header has been ignored/.test(message.text());
      if (['error', 'warning'].includes(message.type()) && !status && !plain) complain(`console: ${message.text()}`);
    });
    this.page.on('pageerror', (error) => complain(`script: ${error}`));
  }

  // Goes to a path of the gate, or to a whole address.
  async go(where) {
    return this.page.goto(new URL(where, told.origin).href);
  }

  // Fills in the fields by their labels, and presses the button, inside `within` if there are several forms.
  async send(button, fields = {}, within = this.page) {
    const inputs = this.page.locator('input');
    for (const [label, value] of Object.entries(fields)) {
      await within.getByLabel(label, { exact: true }).and(inputs).fill(value);
    }
    await Promise.all([
      this.page.waitForNavigation({ waitUntil: 'domcontentloaded' }),
      within.getByRole('button', { name: button, exact: true }).click(),
    ]);
  }

  // Presses a link.
  async follow(name, within = this.page) {
    await Promise.all([
      this.page.waitForNavigation({ waitUntil: 'domcontentloaded' }),
      within.getByRole('link', { name, exact: true }).first().click(),
    ]);
  }

  at(where) {
    const url = new URL(this.page.url());
    assert.equal(url.pathname + url.search, where);
  }

  async title() {
    return this.page.locator('h1').innerText();
  }

  async text() {
    return this.page.locator('body').innerText();
  }

  // Checks what holds for every page of ours, after a picture of it where people want some.
  async look(name) {
    const { page } = this;
    const complaints = this.complaints.splice(0);
    if (told.pictures) await this.picture(name);
    const body = await this.shown.body();
    if (body.length > LARGEST) complaints.push(`${body.length} bytes`);
    complaints.push(...(await this.judge(body, await this.shown.allHeaders())));
    assert.deepEqual(complaints, [], `${name} (${page.url()})`);
  }

  async picture(name, options = { fullPage: true }) {
    const file = path.join(told.shots, `${name}.png`);
    // Chromium gives up where the machine is busy, which says nothing of the page.
    for (let left = 5; ; left -= 1) {
      try {
        return await this.page.screenshot({ path: file, ...options });
      } catch (error) {
        if (left === 0 || !/Unable to capture screenshot/.test(error)) throw error;
      }
    }
  }

  // The same bytes once more in a browser that runs the checks' scripts: no form is sent again.
  async judge(body, headers) {
    const context = await chrome.newContext(this.looks);
    try {
      const page = await context.newPage();
      const url = told.origin + '/_sidegate/looked-at';
      await context.route(url, (route) => route.fulfill({ headers, body }));
      await page.goto(url);
      // Everything that is folded up is looked at too.
      await page.evaluate(() => document.querySelectorAll('details').forEach((one) => (one.open = true)));
      await page.evaluate(axeSource);
      return await page.evaluate(checks);
    } finally {
      await context.close();
    }
  }

  async close() {
    await this.context.close();
  }
}

// Runs in the page.
async function checks() {
  const found = [];
  const wide = document.documentElement;
  if (wide.scrollWidth > wide.clientWidth) {
    const out = [...document.querySelectorAll('body *')].filter((one) => {
      return one.getBoundingClientRect().right > wide.clientWidth + 1;
    });
    found.push(`scrolls sideways: ${out.map((one) => one.outerHTML.slice(0, 80)).slice(0, 3)}`);
  }

  // Lines of text that lie on each other.
  const lines = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (!node.data.trim() || node.parentElement.closest('option, select, svg, style')) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width > 1 && box.height > 1) lines.push({ box, text: node.data.trim().slice(0, 40), node });
    }
  }
  for (const [index, one] of lines.entries()) {
    for (const other of lines.slice(index + 1)) {
      if (one.node === other.node) continue;
      const across = Math.min(one.box.right, other.box.right) - Math.max(one.box.left, other.box.left);
      const down = Math.min(one.box.bottom, other.box.bottom) - Math.max(one.box.top, other.box.top);
      if (across > 2 && down > 4) found.push(`"${one.text}" lies on "${other.text}"`);
    }
  }

  const result = await window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    resultTypes: ['violations'],
  });
  for (const violation of result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
    for (const node of violation.nodes.slice(0, 3)) {
      found.push(`${violation.id} (${violation.impact}): ${node.html.slice(0, 160)}: ${node.failureSummary}`);
    }
  }
  return found;
}

// Chromium's own authenticator for passkeys, in that page; the CDP session, to ask it for its credentials.
async function virtualAuthenticator(page, options = {}) {
  const session = await page.context().newCDPSession(page);
  await session.send('WebAuthn.enable');
  const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
      ...options,
    },
  });
  return { session, authenticatorId };
}

// A verb of ours against the same gate; its standard output.
function sidegate(words, input = '') {
  const all = ['--config', told.config, ...words];
  return execFileSync(told.binary, all, { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
}

// The code that an authenticator app shows (RFC 6238), so many steps after the present one.
function code(secret, steps = 0) {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...secret].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + steps));
  const mac = createHmac('sha1', key).update(counter).digest();
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff;
  return String(number % 1000000).padStart(6, '0');
}

// Runs a scenario; whatever goes wrong in it ends the process with an error, after a picture of the last page.
async function run(scenario) {
  const browsers = [];
  const opening = async (options) => {
    const browser = await open(options);
    browser.page.setDefaultTimeout(60_000);
    browsers.push(browser);
    return browser;
  };
  try {
    await scenario(opening);
  } catch (error) {
    console.error(error);
    for (const [index, browser] of browsers.entries()) {
      const { page } = browser;
      const text = await page.innerText('body').catch(() => '');
      console.error(`--- browser ${index} is at ${page.url()}:\n${text.slice(0, 2000)}`);
      await browser.picture(`failed-${index}`).catch(() => {});
    }
    process.exitCode = 1;
  } finally {
    await chrome?.close();
  }
}

module.exports = { LARGEST, assert, code, run, sidegate, told, virtualAuthenticator };
