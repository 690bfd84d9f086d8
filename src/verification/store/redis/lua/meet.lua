-- A new connection: is this the server that the failures were brought to, and has it run since? One that started again, or took
-- over from another, may have lost what was written last.
local ledger = KEYS[1] .. ':failures'
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or '?'
local known = redis.call('HGET', ledger, 'run')
if known and known ~= run then
    redis.call('HDEL', ledger, 'sequence', 'brought')
end
return { 'OK', run }
