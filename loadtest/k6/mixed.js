// Nine keys in turn and then an unknown one.

import { accepted, keys, number, refused, unknown } from './lib.js';

export { options } from './lib.js';

export default () => {
  const n = number();
  if (n % 10 === 9) {
    refused(unknown[n % unknown.length]);
  } else {
    accepted(keys[n % keys.length]);
  }
};
