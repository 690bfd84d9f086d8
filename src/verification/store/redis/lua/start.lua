local claim, id, state, fixed, secret, replica, retention, rearm, least, origin, sends, takes = cmsgpack.unpack(ARGV[2])
local answered = claimed(claim)
if answered then
    return answered
end
local row = row_of(id, state, fixed, secret)
local armed = rearm and newest_pending(row.pending) or nil
if armed then
    local lives = armed.code_by == 'provider' or math.max(armed.expires - now, 0) >= least
    if not (lives and armed.code_by ~= 'caller' and armed.code_by == row.code_by and armed.subject == row.subject) then
        armed = nil
    end
end
local limited = take_all(takes)
if limited then
    return limited
end
if armed then
    queue_again(armed, row.channel, replica)
    transition(armed, 'verification.resent', origin, row.channel)
    return sending_answer(claim, armed, sends)
end
enqueue(row, replica)
save(row, 'fixed', fixed, 'secret', secret, row.revision, event('verification.started', origin, row.channel))
redis.call('PEXPIRE', row_name .. id, retention)
enter_pending(row)
local index = base .. ':d:' .. row.index
redis.call('ZADD', index, 0, id)
redis.call('PEXPIRE', index, retention)
redis.call('ZADD', base .. ':t', row.created, id)
redis.call('PEXPIRE', base .. ':t', retention)
return sending_answer(claim, row, sends)
