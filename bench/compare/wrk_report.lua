-- Run by wrk. Prints its results as one line of JSON, so that nothing has to be read out of its text.
-- No global `request` is set in the plain case: wrk then sends one fixed text without entering Lua.
-- Arguments: BODY_BYTES (0 = GET; else POST with a body of that size),
--            HOSTS HOST_PATTERN PATH_PATTERN PATHS (optional: spread requests over many sites and paths).

local next_request, count

function init(args)
  local body_bytes = tonumber(args[1] or "0")
  if body_bytes > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", body_bytes)
  end
  if args[2] then
    -- Every request is made here, once: a request of its own for each site, its path by turns.
    local hosts, paths = tonumber(args[2]), tonumber(args[5])
    local list = {}
    for i = 0, hosts - 1 do
      wrk.headers["Host"] = string.format(args[3], i)
      list[#list + 1] = wrk.format("GET", string.format(args[4], i % paths))
    end
    -- A stride that has no common factor with the number of sites visits all of them in a scattered order.
    next_request, count = 0, #list
    request = function()
      next_request = (next_request + 7919) % count
      return list[next_request + 1]
    end
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    "RESULT {\"duration_us\":%d,\"requests\":%d,\"bytes\":%d,\"p50_us\":%d,\"p99_us\":%d," ..
    "\"errors\":{\"connect\":%d,\"read\":%d,\"write\":%d,\"status\":%d,\"timeout\":%d}}\n",
    summary.duration, summary.requests, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
