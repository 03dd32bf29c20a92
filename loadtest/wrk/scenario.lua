-- Sends the requests of one scenario and prints the run as one line of JSON. Arguments behind "--":
--
--   SCENARIO KEYS UNKNOWN     the files hold one key a line; UNKNOWN are keys that the gateway refuses
--
--   accepted     one key again and again
--   refused      unknown keys only, another one each time
--   mixed        nine keys in turn and then an unknown one
--   many-keys    every key in turn
--
-- Statuses are not looked at one by one, because that would make wrk slower than the gateway: wrk counts those
-- above 399, and loadtest/run compares the count with the scenario and with what the gateway counted.

local requests = {}
local position = 0
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local function lines(path)
  local all = {}
  for line in io.lines(path) do all[#all + 1] = line end
  return all
end

local function sequence(scenario, keys, unknown)
  if scenario == "accepted" then return { keys[1] } end
  if scenario == "refused" then return unknown end
  if scenario == "many-keys" then return keys end
  if scenario ~= "mixed" then error("unknown scenario " .. tostring(scenario)) end
  local mixed = {}
  for block = 0, math.floor(#keys / 9) - 1 do
    for one = 1, 9 do mixed[#mixed + 1] = keys[block * 9 + one] end
    mixed[#mixed + 1] = unknown[block % #unknown + 1]
  end
  return mixed
end

function init(arguments)
  for _, key in ipairs(sequence(arguments[1], lines(arguments[2]), lines(arguments[3]))) do
    wrk.headers["X-API-Key"] = key
    requests[#requests + 1] = wrk.format("GET")
  end
  position = number * 4990 -- threads begin at different keys
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%.6f,"p50_us":%.0f,"p99_us":%.0f,"max_us":%.0f,"above_399":%d,' ..
    '"connect":%d,"read":%d,"write":%d,"timeout":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
