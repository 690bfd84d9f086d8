-- A new connection: is this the server that the failures were brought to, and has it run since? One that started again, or took
-- over from another, may have lost what was written last. And what it does with what it is given.
local function info(section, field)
    local text = redis.pcall('INFO', section)
    return type(text) == 'string' and string.match(text, field .. ':([%w-]+)') or '?'
end
local ledger = KEYS[1] .. ':failures'
local run = info('server', 'run_id')
local known = redis.call('HGET', ledger, 'run')
if known and known ~= run then
    redis.call('HDEL', ledger, 'sequence', 'brought')
end
return { 'OK', run, info('persistence', 'aof_enabled'), info('memory', 'maxmemory_policy') }
