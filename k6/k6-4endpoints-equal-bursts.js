// Loads the four endpoints at the same time and equally, with steady phases and bursts, in an open loop.
//
//   k6 run k6/k6-4endpoints-equal-bursts.js
//   k6 run - < k6/k6-4endpoints-equal-bursts.js      (a single file, so it can be read from standard input)
//
// steady | burst | steady | burst | steady, for every endpoint at the same moments. Each phase is a separate scenario
// with an arrival-rate executor: requests start when they are due, however slow the responses are, so a slow lab
// cannot slow down its own load. Runs on k6 1.x and 2.x.

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';

// ---- settings (k6 run -e NAME=VALUE) --------------------------------------------------------------------------

const BASE_URL = (__ENV.BASE_URL || 'http://host.docker.internal:8080').replace(/\/+$/, '');
const TARGET_RPS = number('TARGET_RPS', 30); // offered to each endpoint in a steady phase
const BURST_FACTOR = number('BURST_FACTOR', 3); // the factor of a burst
const STEADY_S = number('STEADY_S', 40);
const BURST_S = number('BURST_S', 20);
const BURSTS = number('BURSTS', 2);
const SLO_MS = number('SLO_MS', 1500); // a 200 within it is good; the lab's LAB_SLO_MS
const REQ_TIMEOUT_MS = milliseconds('REQ_TIMEOUT', '5s'); // then the client disconnects; the lab counts 499
const MAX_VUS = number('MAX_VUS', 0); // the most virtual users of one scenario; 0: as many as needed
const SUMMARY_JSON = __ENV.SUMMARY_JSON || ''; // a file for the figures of the summary

// ---- expected statuses ---------------------------------------------------------------------------------------

// For each endpoint: the statuses that it gives by design, and for each kind of phase the smallest share of good
// responses and the largest share of each other status. The reasons, for the lab's default settings at 30/s and 90/s
// (A takes 50-150 ms, B takes 300-1200 ms and fails in 5% of calls, the limit is 32, the deadline 1 s):
const DESIGN = {
  // A, then B: at most 1350 ms, so all except the 5% failures are good, also in a burst, because B's latency does
  // not depend on concurrency. Ten points are left for chance and for other work on the machine.
  '/sync': {
    steady: { good: 0.85, most: { 502: 0.1 } },
    burst: { good: 0.85, most: { 502: 0.1 } },
  },
  // A and B in parallel: at most 1200 ms; otherwise as above.
  '/async': {
    steady: { good: 0.85, most: { 502: 0.1 } },
    burst: { good: 0.85, most: { 502: 0.1 } },
  },
  // 32 calls of 0.75 s have a capacity of 42.7/s: 30/s pass at once (95% good), but in the first seconds after a
  // burst its queue makes requests late or shed. Of a burst's 90/s at least half must be shed. The admitted requests
  // have waited up to 1 s, so most are too late to be good: only the shed share has a limit there.
  '/async-limited': {
    steady: { good: 0.7, most: { 502: 0.1, 503: 0.15 } },
    burst: { good: 0, most: { 502: 0.1, 503: 0.65 } },
  },
  // B takes longer than the deadline of 1 s in 200/900 = 22% of calls (504); 95% of the other 78% are good: 74%.
  '/async-timeout': {
    steady: { good: 0.65, most: { 502: 0.1, 504: 0.3 } },
    burst: { good: 0.65, most: { 502: 0.1, 504: 0.3 } },
  },
};
const ENDPOINTS = Object.keys(DESIGN);
const STATUSES = ['200', '502', '503', '504'];

// ---- phases, scenarios, thresholds ----------------------------------------------------------------------------

const PHASES = [{ kind: 'steady', number: 1 }];
for (let burst = 1; burst <= BURSTS; burst += 1) {
  PHASES.push({ kind: 'burst', number: burst }, { kind: 'steady', number: burst + 1 });
}
let begin_s = 0;
for (const phase of PHASES) {
  phase.rate = phase.kind === 'burst' ? TARGET_RPS * BURST_FACTOR : TARGET_RPS;
  phase.duration_s = phase.kind === 'burst' ? BURST_S : STEADY_S;
  phase.begin_s = begin_s;
  begin_s += phase.duration_s;
}

const scenarioName = (endpoint, phase) => `${endpoint.slice(1)}_${phase.kind}_${phase.number}`;
const scenarios = {};
for (const endpoint of ENDPOINTS) {
  for (const phase of PHASES) {
    // At most rate x timeout requests are in flight (L = lambda W), plus a tenth while responses are checked.
    const enough = Math.ceil(phase.rate * (REQ_TIMEOUT_MS / 1000) * 1.1) + 5;
    const vus = MAX_VUS > 0 ? Math.min(MAX_VUS, enough) : enough;
    scenarios[scenarioName(endpoint, phase)] = {
      executor: 'constant-arrival-rate',
      exec: 'request',
      rate: phase.rate,
      timeUnit: '1s',
      startTime: `${phase.begin_s}s`,
      duration: `${phase.duration_s}s`,
      gracefulStop: `${REQ_TIMEOUT_MS + 1000}ms`, // every request gets its response or its timeout
      preAllocatedVUs: vus, // created before the run: creating one during it takes time and loses the iteration
      maxVUs: vus,
      env: { ENDPOINT: endpoint, PHASE: phase.kind },
    };
  }
}

const thresholds = {};
for (const endpoint of ENDPOINTS) {
  const e = `endpoint:${endpoint}`;
  thresholds[`lab_unexpected{${e}}`] = ['count==0']; // a status that is not by design for this endpoint
  thresholds[`lab_lost{${e}}`] = ['count==0']; // no response within REQ_TIMEOUT, or no connection: none by default
  thresholds[`checks{${e}}`] = ['rate==1']; // JSON of the right strategy; a 503 has a Retry-After
  for (const kind of ['steady', 'burst']) {
    if (!PHASES.some((phase) => phase.kind === kind)) continue;
    const bounds = DESIGN[endpoint][kind];
    thresholds[`lab_good{${e},phase:${kind}}`] = [`rate>=${bounds.good}`];
    for (const status of Object.keys(bounds.most)) {
      thresholds[`lab_share_${status}{${e},phase:${kind}}`] = [`rate<=${bounds.most[status]}`];
    }
  }
  // A dropped iteration is a request that was not offered, which would make the comparison unequal.
  for (const phase of PHASES) {
    thresholds[`dropped_iterations{scenario:${scenarioName(endpoint, phase)}}`] = ['count==0'];
  }
  // Always true: k6 keeps figures by tag only for tags with a threshold.
  for (const status of STATUSES) thresholds[`lab_answers{${e},status:${status}}`] = ['count>=0'];
  thresholds[`lab_offered{${e}}`] = ['count>=0'];
  thresholds[`lab_timeouts{${e}}`] = ['count>=0'];
  thresholds[`lab_good{${e}}`] = ['rate>=0'];
  for (const kind of ['steady', 'burst']) {
    if (!PHASES.some((phase) => phase.kind === kind)) continue;
    thresholds[`lab_offered{${e},phase:${kind}}`] = ['count>=0'];
    thresholds[`lab_ok_ms{${e},phase:${kind}}`] = ['max>=0'];
  }
}
thresholds.dropped_iterations = ['count==0'];

export const options = {
  scenarios,
  thresholds,
  discardResponseBodies: false,
  userAgent: 'k6-equal-bursts',
  summaryTrendStats: ['count', 'avg', 'min', 'med', 'p(95)', 'p(99)', 'max'],
};

// ---- one request ----------------------------------------------------------------------------------------------

const offered = new Counter('lab_offered');
const answers = new Counter('lab_answers'); // by status
const unexpected = new Counter('lab_unexpected'); // responses with a status that is not by design
const lost = new Counter('lab_lost'); // requests without a response
const timeouts = new Counter('lab_timeouts'); // of these, requests that the client gave up
const good = new Rate('lab_good'); // 200 within the SLO, among all offered requests
const okMs = new Trend('lab_ok_ms', true); // the latency of 200 responses
const shares = { 502: new Rate('lab_share_502'), 503: new Rate('lab_share_503'), 504: new Rate('lab_share_504') };

export function request() {
  const endpoint = __ENV.ENDPOINT;
  const tags = { endpoint, phase: __ENV.PHASE };
  const answer = http.get(BASE_URL + endpoint, {
    timeout: REQ_TIMEOUT_MS,
    tags: { ...tags, name: endpoint },
    responseCallback: null, // DESIGN lists the expected statuses
  });
  const { blocked, connecting, duration } = answer.timings;
  const ms = blocked + connecting + duration;
  const status = answer.status;

  offered.add(1, tags);
  good.add(status === 200 && ms <= SLO_MS, tags);
  for (const code of Object.keys(shares)) shares[code].add(status === Number(code), tags);
  if (status === 0) {
    lost.add(1, tags);
    if (answer.error_code === 1050) timeouts.add(1, tags);
    return;
  }
  answers.add(1, { ...tags, status: String(status) });
  if (status !== 200 && !(status in DESIGN[endpoint].steady.most)) unexpected.add(1, tags);
  if (status === 200) okMs.add(ms, tags);
  const said = json(answer.body);
  check(
    answer,
    {
      'is JSON that names the strategy': () => said !== null && said.strategy === endpoint.slice(1),
      'a 503 says when to try again': (r) => r.status !== 503 || Number(r.headers['Retry-After']) > 0,
    },
    tags,
  );
}

export function setup() {
  // Print one line instead of thousands of refused connections.
  const answer = http.get(`${BASE_URL}/healthz`, { timeout: '5s', tags: { name: 'setup' }, responseCallback: null });
  if (answer.status === 0) exec.test.abort(`no lab at ${BASE_URL}: ${answer.error} (set BASE_URL)`);
}

// ---- the summary ----------------------------------------------------------------------------------------------

export function handleSummary(data) {
  const value = (metric, field) => (data.metrics[metric] ? data.metrics[metric].values[field] || 0 : 0);
  const endpoints = {};
  for (const endpoint of ENDPOINTS) {
    const e = `endpoint:${endpoint}`;
    const statuses = {};
    let known = 0;
    for (const status of STATUSES) {
      statuses[status] = value(`lab_answers{${e},status:${status}}`, 'count');
      known += statuses[status];
    }
    const all = value(`lab_offered{${e}}`, 'count');
    const noAnswer = value(`lab_lost{${e}}`, 'count');
    const gaveUp = value(`lab_timeouts{${e}}`, 'count');
    let dropped = 0;
    for (const phase of PHASES) {
      dropped += value(`dropped_iterations{scenario:${scenarioName(endpoint, phase)}}`, 'count');
    }
    const phases = {};
    for (const kind of ['steady', 'burst']) {
      const t = `{${e},phase:${kind}}`;
      const times = data.metrics[`lab_ok_ms${t}`];
      const n = value(`lab_ok_ms${t}`, 'count');
      // A percentile is shown only if at least ten responses lie beyond it.
      const at = (q, field) => (times && n * (1 - q) >= 10 ? times.values[field] : null);
      phases[kind] = {
        offered: value(`lab_offered${t}`, 'count'),
        good: value(`lab_good${t}`, 'rate'),
        ok: n,
        ok_p50_ms: at(0.5, 'med'),
        ok_p95_ms: at(0.95, 'p(95)'),
        ok_p99_ms: at(0.99, 'p(99)'),
        502: value(`lab_share_502${t}`, 'passes'),
        503: value(`lab_share_503${t}`, 'passes'),
        504: value(`lab_share_504${t}`, 'passes'),
      };
    }
    endpoints[endpoint] = {
      offered: all,
      good: value(`lab_good{${e}}`, 'rate'),
      statuses,
      timeouts: gaveUp,
      no_connection: noAnswer - gaveUp,
      unexpected: all - noAnswer - known,
      dropped,
      phases,
    };
  }
  const failed = [];
  for (const name of Object.keys(data.metrics)) {
    const results = data.metrics[name].thresholds || {};
    for (const bound of Object.keys(results)) if (!results[bound].ok) failed.push(`${name}: ${bound}`);
  }
  const settings = { TARGET_RPS, BURST_FACTOR, STEADY_S, BURST_S, BURSTS, SLO_MS, REQ_TIMEOUT_MS };
  const out = { stdout: table(endpoints, failed) };
  if (SUMMARY_JSON) out[SUMMARY_JSON] = `${JSON.stringify({ settings, endpoints, failed }, null, 2)}\n`;
  return out;
}

function table(endpoints, failed) {
  const head = ['endpoint', 'phases', 'offered', 'good', 'ok', 'p50 ok', 'p95 ok', 'p99 ok', '502', '503', '504'];
  const rows = [head];
  for (const endpoint of ENDPOINTS) {
    for (const kind of ['steady', 'burst']) {
      const p = endpoints[endpoint].phases[kind];
      if (p.offered === 0) continue;
      const ms = (v) => (v === null ? '-' : `${Math.round(v)} ms`);
      const name = kind === 'steady' ? `steady ${TARGET_RPS}/s` : `burst ${TARGET_RPS * BURST_FACTOR}/s`;
      const good = `${(p.good * 100).toFixed(1)}%`;
      rows.push([endpoint, name, p.offered, good, p.ok, ms(p.ok_p50_ms), ms(p.ok_p95_ms), ms(p.ok_p99_ms), p[502], p[503], p[504]]);
    }
  }
  const more = [['endpoint', 'gave up', 'no connection', 'other status', 'dropped']];
  for (const endpoint of ENDPOINTS) {
    const e = endpoints[endpoint];
    more.push([endpoint, e.timeouts, e.no_connection, e.unexpected, e.dropped]);
  }
  const verdict = failed.length ? `${failed.length} thresholds failed:\n  ${failed.join('\n  ')}` : 'every threshold held';
  return `
${columns(rows)}

${columns(more)}

good: 200 within ${SLO_MS} ms, of all offered. p50, p95, p99: of the 200s only; what was refused or given up is not
in them, so read them beside the good rate. gave up: no answer within ${REQ_TIMEOUT_MS} ms (the lab counts 499).
dropped: not sent, because no virtual user was free.

${verdict}
`;
}

// ---- helpers --------------------------------------------------------------------------------------------------

function columns(rows) {
  const text = rows.map((row) => row.map(String));
  const widths = text[0].map((_, i) => Math.max(...text.map((row) => row[i].length)));
  const cell = (s, i) => (i < (text[0][1] === 'phases' ? 2 : 1) ? s.padEnd(widths[i]) : s.padStart(widths[i]));
  return text.map((row) => row.map(cell).join('  ').trimEnd()).join('\n');
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
