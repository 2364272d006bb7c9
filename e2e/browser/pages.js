// Looks at every page of the console with a real browser and prints one line for each fault. It is run by browser_test.go, which
// gives the console's address, the tokens, and a folder for pictures (empty: none).
'use strict';
const fs = require('fs');
const path = require('path');
const {chromium} = require('playwright-core');

const {CONSOLE, ANNA, BO, PICTURES, HOSTILE, JOB, CHROMIUM} = process.env;
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const fault = (where, what) => console.log(`${where}: ${what}`);

const hostileOrder = '/orders/' + encodeURIComponent(HOSTILE);
const pages = {
  home: '/', homeRefreshed: '/?every=15', find: '/find', found: '/find?q=R70', foundHostile: '/find?q=alert', order: '/orders/R7', hostileOrder,
  unknownOrder: '/orders/R404', jobs: '/jobs?state=parked', allJobs: '/jobs', noJobs: '/jobs?outcome=nothing', job: `/jobs/${JOB}`, hostileJob: '/jobs/900',
  help: '/help', nowhere: '/nowhere', login: '/login',
};
const pictures = ['home', 'order', 'jobs', 'job'];
// Words that stay as they are in Chinese: names, numbers, identifiers and what comes from outside. Anything else in Latin letters on a
// Chinese page is a word that was not translated.
const known = /^([\d.]+(ms|s|m|h)([\d.]+(s|m))*|English|anna|bo|JD|MQTT|MNS|Redis|Elasticsearch|CSV|HTTP|http|p50|p99|ms|jdpay-listener|jobs|retry|R\d+|M\d+|X[R\d]+|JD(VC)?\d+|[0-9A-F]{32}|CAB-\d+|[A-Z]\d\d|v[\d.]+|externalId|max_allowed_packet|ID)$/;

async function browserPage(browser, w, scheme, lang) {
  const context = await browser.newContext({viewport: {width: w, height: 800}, colorScheme: scheme, locale: lang === 'zh' ? 'zh-CN' : 'en-US'});
  const page = await context.newPage();
  page.where = '';
  page.on('console', m => {
    if (m.type() === 'error' && !/status of 40[0-9]/.test(m.text())) fault(page.where, `the browser's console: ${m.text()}`);
  });
  page.on('pageerror', e => fault(page.where, `error: ${e.message}`));
  page.on('dialog', d => { fault(page.where, `a dialog: ${d.message()}`); d.dismiss(); });
  page.on('request', r => {
    if (!r.url().startsWith(CONSOLE + '/') && !r.url().startsWith('data:')) fault(page.where, `a request to ${r.url()}`);
  });
  return page;
}

async function signIn(page, name, token) {
  await page.fill('#name', name);
  await page.fill('#token', token);
  await page.keyboard.press('Enter');
  await page.waitForURL(u => !u.pathname.startsWith('/login'));
}

async function look(page, name, lang) {
  await page.evaluate(axe);
  const found = await page.evaluate(() => axe.run(document, {resultTypes: ['violations']}));
  for (const v of found.violations) fault(page.where, `axe ${v.id}: ${v.nodes.slice(0, 2).map(n => n.html.slice(0, 150)).join(' and ')}`);
  const cut = await page.evaluate(() => {
    const out = [];
    if (document.documentElement.scrollWidth > innerWidth) out.push(`the page is ${document.documentElement.scrollWidth} px wide`);
    for (const e of document.querySelectorAll('main *')) {
      const box = e.getBoundingClientRect();
      const scrolls = e.closest('.wide');
      if (!scrolls && box.width > 0 && (box.right > innerWidth + 1 || box.left < -1)) out.push(`<${e.tagName}> is cut off: ${e.textContent.slice(0, 40)}`);
      if (['hidden', 'clip'].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1) out.push(`<${e.tagName}> hides text: ${e.textContent.slice(0, 40)}`);
    }
    return out;
  });
  for (const c of cut) fault(page.where, c);
  if (lang !== 'zh' || name === 'help' || /ostile/.test(name)) return; // the runbook names commands and settings; hostile texts are foreign
  const texts = await page.evaluate(() => {
    const out = [];
    const walk = n => {
      if (n.nodeType === Node.TEXT_NODE && n.textContent.trim()) out.push(n.textContent);
      else if (n.nodeType === Node.ELEMENT_NODE && !['CODE', 'STYLE', 'SCRIPT'].includes(n.tagName)) {
        for (const a of ['title', 'aria-label', 'placeholder', 'alt']) if (n.getAttribute(a)) out.push(n.getAttribute(a));
        n.childNodes.forEach(walk);
      }
    };
    walk(document.body);
    return out;
  });
  for (const t of texts) {
    for (const word of t.replaceAll(HOSTILE, '').match(/[A-Za-z0-9_.-]*[A-Za-z][A-Za-z0-9_.-]*/g) || []) {
      if (!known.test(word.replace(/[.,:;]+$/, '')) && !/^(host|vm)-/.test(word)) fault(page.where, `not translated: ${word} in ${t.trim().slice(0, 80)}`);
    }
  }
}

// Tab reaches an element that fits, within as many steps as the page has elements.
async function tabTo(page, selector, where) {
  const steps = await page.evaluate(() => document.querySelectorAll('a, button, input, select, summary, [tabindex]').length + 5);
  for (let i = 0; i < steps; i++) {
    await page.keyboard.press('Tab');
    if (await page.evaluate(s => document.activeElement && document.activeElement.matches(s), selector)) {
      const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
      if (outline === 'none') fault(where, `the focus on ${selector} is not seen`);
      return true;
    }
  }
  fault(where, `the keyboard does not reach ${selector}`);
  return false;
}

(async () => {
  const browser = await chromium.launch({executablePath: CHROMIUM, args: ['--no-sandbox']});
  for (const lang of ['en', 'zh']) {
    for (const width of [360, 1280]) {
      for (const scheme of ['light', 'dark']) {
        const page = await browserPage(browser, width, scheme, lang);
        page.where = `sign-in, ${lang} ${width} ${scheme}`;
        await page.goto(`${CONSOLE}/?lang=${lang}`);
        if (!page.url().includes('/login')) fault(page.where, 'the page is shown without a sign-in');
        await signIn(page, 'anna', ANNA);
        for (const [name, address] of Object.entries(pages)) {
          page.where = `${name}, ${lang} ${width} ${scheme}`;
          await page.goto(CONSOLE + address);
          await look(page, name, lang);
          if (PICTURES && pictures.includes(name) && (scheme === 'light') === (width === 1280)) {
            await page.screenshot({path: path.join(PICTURES, `${name}-${lang}-${width}.png`), clip: {x: 0, y: 0, width, height: width === 360 ? 760 : 800}});
          }
        }
        page.where = `before an act, ${lang} ${width} ${scheme}`;
        await page.goto(`${CONSOLE}/jobs/${JOB}`);
        await page.click('form[action$="/retry"] button');
        await look(page, 'act', lang);
        if (PICTURES && (scheme === 'light') === (width === 1280)) await page.screenshot({path: path.join(PICTURES, `act-${lang}-${width}.png`), clip: {x: 0, y: 0, width, height: 420}});
        await page.context().close();
      }
    }
  }

  // Each route signed out and signed in without the right to act.
  const out = await browserPage(browser, 1280, 'light', 'en');
  for (const [name, address] of Object.entries(pages)) {
    out.where = `${name}, signed out`;
    await out.goto(CONSOLE + address);
    if (!out.url().includes('/login')) fault(out.where, `it is shown: ${out.url()}`);
  }
  await signIn(out, 'bo', BO);
  out.where = 'a job, signed in without the right to act';
  await out.goto(`${CONSOLE}/jobs/${JOB}`);
  if (await out.$('form[action$="/retry"]')) fault(out.where, 'the act is offered');

  // An act with the keyboard alone: from the order to its job, the confirmation, the reason, the end.
  const page = await browserPage(browser, 360, 'light', 'en');
  page.where = 'an act with the keyboard';
  await page.goto(`${CONSOLE}/login`);
  await signIn(page, 'anna', ANNA);
  await page.goto(`${CONSOLE}/orders/R7`);
  const enter = async selector => {
    if (!await tabTo(page, selector, page.where)) return;
    await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  };
  await enter(`a[href="/jobs/${JOB}"]`);
  await enter('form[action$="/discard"] button');
  await page.goBack();
  await enter('form[action$="/retry"] button');
  if (await tabTo(page, '#reason', page.where)) await page.keyboard.type('the customer stands there');
  await enter('button.go');
  if (!(await page.textContent('main')).includes('the job is due now')) fault(page.where, `it was not carried out: ${await page.textContent('main')}`);
  await look(page, 'acted', 'en');
  await browser.close();
  console.log('looked at everything');
})().catch(e => { console.log(`broken: ${e.stack}`); process.exit(1); });
