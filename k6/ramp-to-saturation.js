// Raises the offered rate in steps until something saturates, and shows where.
//
//   k6 run -e BASE_URL=http://127.0.0.1:8080 k6/ramp-to-saturation.js
//   k6 run -e BASE_URL=http://127.0.0.1:8080 -e ENDPOINT=/async - < k6/ramp-to-saturation.js
//
// Read the table downwards: while good responses per second rise with the offered rate, there is no saturation,
// whatever is in flight. Where they stop rising is the capacity; where they fall is collapse. With the lab's default
// settings only /async-limited saturates (32 calls of 0.75 s have a capacity of 42.7/s), because B itself has unlimited
// capacity. SERVICE_B_CONTENTION=usl:0.002,0.0002 or pool:32 limits it, and then this script fails for the endpoints
// that saturate: that is its result.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';

const BASE_URL = (__ENV.BASE_URL || 'http://host.docker.internal:8080').replace(/\/+$/, '');
const ALL = ['/sync', '/async', '/async-limited', '/async-timeout'];
const ENDPOINTS = !__ENV.ENDPOINT || __ENV.ENDPOINT === 'all' ? ALL : [`/${__ENV.ENDPOINT.replace(/^\//, '')}`];
if (!ALL.includes(ENDPOINTS[0])) throw new Error(`ENDPOINT=${__ENV.ENDPOINT}: all or one of ${ALL.join(' ')} is allowed`);
const START_RPS = number('START_RPS', 10); // offered to each endpoint in the first step
const MAX_RPS = number('MAX_RPS', 80); // offered in the last step
const STEPS = Math.max(2, number('STEPS', 8));
const RISE_S = number('RISE_S', 3); // the rise between two steps
const HOLD_S = number('HOLD_S', 12); // a step
const SLO_MS = number('SLO_MS', 1500);
const REQ_TIMEOUT_MS = milliseconds('REQ_TIMEOUT', '5s');
const SUMMARY_JSON = __ENV.SUMMARY_JSON || '';

const BY_DESIGN = {
  '/sync': [200, 502],
  '/async': [200, 502],
  '/async-limited': [200, 502, 503],
  '/async-timeout': [200, 502, 504],
};

const rates = [];
for (let i = 0; i < STEPS; i += 1) rates.push(Math.round(START_RPS + ((MAX_RPS - START_RPS) * i) / (STEPS - 1)));
const last = String(STEPS);

const scenarios = {};
for (const endpoint of ENDPOINTS) {
  const stages = [];
  rates.forEach((rate, i) => {
    if (i > 0) stages.push({ target: rate, duration: `${RISE_S}s` });
    stages.push({ target: rate, duration: `${HOLD_S}s` });
  });
  const vus = Math.ceil(MAX_RPS * (REQ_TIMEOUT_MS / 1000) * 1.1) + 5; // at most rate x timeout are in flight
  scenarios[endpoint.slice(1)] = {
    executor: 'ramping-arrival-rate',
    exec: 'request',
    startRate: rates[0],
    timeUnit: '1s',
    stages,
    gracefulStop: `${REQ_TIMEOUT_MS + 1000}ms`,
    preAllocatedVUs: vus,
    maxVUs: vus,
    env: { ENDPOINT: endpoint },
  };
}

const thresholds = { dropped_iterations: ['count==0'] }; // otherwise less was offered than the table says
for (const endpoint of ENDPOINTS) {
  const e = `endpoint:${endpoint}`;
  thresholds[`lab_unexpected{${e}}`] = ['count==0'];
  thresholds[`lab_lost{${e}}`] = ['count==0']; // by default every request gets its response in 5 s, at any rate
  thresholds[`checks{${e}}`] = ['rate==1'];
  for (let step = 1; step <= STEPS; step += 1) {
    const t = `{${e},step:${step}}`;
    thresholds[`lab_offered${t}`] = ['count>=0'];
    thresholds[`lab_good${t}`] = ['rate>=0'];
    thresholds[`lab_shed${t}`] = ['rate>=0'];
    thresholds[`lab_ok_ms${t}`] = ['max>=0'];
  }
  if (endpoint === '/async-limited') {
    // Below the capacity of 42.7/s nothing is shed (5% fail). Above it the excess must be shed, which is 47% at 80/s:
    // if it were less, the limit would not hold; if it were far more, the limit would not use its capacity.
    if (rates[0] <= 30) thresholds[`lab_good{${e},step:1}`] = ['rate>=0.85'];
    if (MAX_RPS >= 60) thresholds[`lab_shed{${e},step:${last}}`] = ['rate>=0.1', 'rate<=0.65'];
  } else {
    // 95% good, and for /async-timeout 74% (22% of B's calls exceed the deadline), at the last rate as at the first;
    // 15 points are left for chance, because a step has only a few hundred requests.
    const least = endpoint === '/async-timeout' ? 0.6 : 0.8;
    for (const step of ['1', last]) thresholds[`lab_good{${e},step:${step}}`] = [`rate>=${least}`];
  }
}

export const options = {
  scenarios,
  thresholds,
  userAgent: 'k6-ramp',
  summaryTrendStats: ['count', 'avg', 'min', 'med', 'p(95)', 'p(99)', 'max'],
};

const offered = new Counter('lab_offered');
const unexpected = new Counter('lab_unexpected');
const lost = new Counter('lab_lost');
const good = new Rate('lab_good');
const shed = new Rate('lab_shed');
const okMs = new Trend('lab_ok_ms', true);

// The current step, or "rise" between two steps.
function stepNow() {
  const at_s = (Date.now() - exec.scenario.startTime) / 1000;
  const step = Math.floor(at_s / (HOLD_S + RISE_S));
  return at_s - step * (HOLD_S + RISE_S) < HOLD_S && step < STEPS ? String(step + 1) : 'rise';
}

export function request() {
  const endpoint = __ENV.ENDPOINT;
  const tags = { endpoint, step: stepNow() }; // the step when it was due, not when it ended
  const answer = http.get(BASE_URL + endpoint, {
    timeout: REQ_TIMEOUT_MS,
    tags: { endpoint, name: endpoint },
    responseCallback: null,
  });
  const { blocked, connecting, duration } = answer.timings;
  const ms = blocked + connecting + duration;
  offered.add(1, tags);
  good.add(answer.status === 200 && ms <= SLO_MS, tags);
  shed.add(answer.status === 503, tags);
  if (answer.status === 0) {
    lost.add(1, tags);
    return;
  }
  if (!BY_DESIGN[endpoint].includes(answer.status)) unexpected.add(1, tags);
  if (answer.status === 200) okMs.add(ms, tags);
  const said = json(answer.body);
  check(
    answer,
    {
      'is JSON that names the strategy': () => said !== null && said.strategy === endpoint.slice(1),
      'a 503 says when to try again': (r) => r.status !== 503 || Number(r.headers['Retry-After']) > 0,
    },
    { endpoint },
  );
}

export function setup() {
  const answer = http.get(`${BASE_URL}/healthz`, { timeout: '5s', tags: { name: 'setup' }, responseCallback: null });
  if (answer.status === 0) exec.test.abort(`no lab at ${BASE_URL}: ${answer.error} (set BASE_URL)`);
}

export function handleSummary(data) {
  const value = (metric, field) => (data.metrics[metric] ? data.metrics[metric].values[field] || 0 : 0);
  const rows = [['endpoint', 'offered/s', 'good/s', 'good', 'shed', 'p50 ok', 'p95 ok']];
  const endpoints = {};
  for (const endpoint of ENDPOINTS) {
    endpoints[endpoint] = [];
    for (let step = 1; step <= STEPS; step += 1) {
      const t = `{endpoint:${endpoint},step:${step}}`;
      const share = value(`lab_good${t}`, 'rate');
      const n = value(`lab_ok_ms${t}`, 'count');
      const row = {
        offered_per_s: value(`lab_offered${t}`, 'count') / HOLD_S,
        good_per_s: value(`lab_good${t}`, 'passes') / HOLD_S,
        good: share,
        shed: value(`lab_shed${t}`, 'rate'),
        ok_p50_ms: n >= 20 ? value(`lab_ok_ms${t}`, 'med') : null,
        ok_p95_ms: n >= 200 ? value(`lab_ok_ms${t}`, 'p(95)') : null,
      };
      endpoints[endpoint].push(row);
      const ms = (v) => (v === null ? '-' : `${Math.round(v)} ms`);
      const percent = (v) => `${(v * 100).toFixed(1)}%`;
      const { offered_per_s: o, good_per_s: g } = row;
      rows.push([endpoint, o.toFixed(1), g.toFixed(1), percent(share), percent(row.shed), ms(row.ok_p50_ms), ms(row.ok_p95_ms)]);
    }
  }
  const failed = [];
  for (const name of Object.keys(data.metrics)) {
    const results = data.metrics[name].thresholds || {};
    for (const bound of Object.keys(results)) if (!results[bound].ok) failed.push(`${name}: ${bound}`);
  }
  const dropped = value('dropped_iterations', 'count');
  const verdict = failed.length ? `${failed.length} thresholds failed:\n  ${failed.join('\n  ')}` : 'every threshold held';
  const out = { stdout: `\n${columns(rows)}\n\ndropped: ${dropped}\n${verdict}\n` };
  if (SUMMARY_JSON) out[SUMMARY_JSON] = `${JSON.stringify({ endpoints, dropped, failed }, null, 2)}\n`;
  return out;
}

function columns(rows) {
  const text = rows.map((row) => row.map(String));
  const widths = text[0].map((_, i) => Math.max(...text.map((row) => row[i].length)));
  return text.map((row) => row.map((s, i) => (i < 1 ? s.padEnd(widths[i]) : s.padStart(widths[i]))).join('  ')).join('\n');
}

function json(body) {
  try {
    return JSON.parse(body);
  } catch (_) {
    return null;
  }
}

function number(name, otherwise) {
  const text = __ENV[name];
  if (text === undefined || text === '') return otherwise;
  const value = Number(text);
  if (!Number.isFinite(value) || value < 0) throw new Error(`${name}=${text}: a number of 0 or more is allowed`);
  return value;
}

function milliseconds(name, otherwise) {
  const text = __ENV[name] || otherwise;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (!match) throw new Error(`${name}=${text}: a duration such as 500ms, 5s or 1m is allowed`);
  return Number(match[1]) * { ms: 1, s: 1000, m: 60000 }[match[2]];
}
