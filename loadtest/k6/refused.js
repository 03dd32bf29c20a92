// Unknown keys only, another one each time.

import { number, refused, unknown } from './lib.js';

export { options } from './lib.js';

export default () => refused(unknown[number() % unknown.length]);
