// What the k6 scenarios share: options, keys, and one request with its checks.
//
// Environment: URL is the gateway (http://127.0.0.1:8080/api), KEYS and UNKNOWN are files with one key a line;
// RATE requests a second for SECONDS seconds.

import { check } from 'k6';
import exec from 'k6/execution';
import http from 'k6/http';
import { SharedArray } from 'k6/data';

const lines = (/** @type {string} */ path) => open(path).split('\n').filter((line) => line !== '');

/** Keys that the gateway accepts. */
export const keys = new SharedArray('keys', () => lines(__ENV.KEYS));

/** Keys that it refuses. */
export const unknown = new SharedArray('unknown', () => lines(__ENV.UNKNOWN));

const rate = Number(__ENV.RATE || 1000);

/**
 * Requests come at a fixed rate, whether or not the ones before were answered: what a stall costs callers is
 * in the percentiles. The run fails if one status, one body or one percentile is not as it should be.
 *
 * @type {import('k6/options').Options}
 */
export const options = {
  scenarios: {
    load: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: `${__ENV.SECONDS || 10}s`,
      preAllocatedVUs: 64,
      maxVUs: 256,
    },
  },
  thresholds: {
    http_req_failed: ['rate==0'],
    checks: ['rate==1'],
    dropped_iterations: ['count==0'],
    http_req_duration: ['p(50)<5', 'p(99)<50'],
  },
  summaryTrendStats: ['min', 'med', 'p(95)', 'p(99)', 'max'],
};

/** The number of this request in the whole test. */
export const number = () => exec.scenario.iterationInTest;

/**
 * A request with a good key. The API answers with the query: a body of another request would show.
 *
 * @param {string} key
 */
export function accepted(key) {
  const query = `n=${number()}`;
  const response = http.get(`${__ENV.URL}/echo?${query}`, parameters(key, 200, 'accepted'));
  check(response, {
    'accepted: 200': (r) => r.status === 200,
    'accepted: its own answer': (r) => r.body === query,
  });
}

/**
 * A request with a key that nobody has.
 *
 * @param {string} key
 */
export function refused(key) {
  const response = http.get(`${__ENV.URL}/echo?n=${number()}`, parameters(key, 401, 'refused'));
  check(response, {
    'refused: 401': (r) => r.status === 401,
    'refused: says how to ask': (r) => r.headers['Www-Authenticate'] !== undefined,
    'refused: the key is not repeated': (r) => typeof r.body === 'string' && !r.body.includes(key),
  });
}

/**
 * @param {string} key
 * @param {number} status
 * @param {string} name
 */
function parameters(key, status, name) {
  return {
    headers: { 'X-API-Key': key },
    responseCallback: http.expectedStatuses(status),
    tags: { name }, // without it every URL would be a series of its own
  };
}
