-- Replicas that have messages and do not live. This one lives from now on, if it did not.
local me, til = cmsgpack.unpack(ARGV[2])
local lives, dead, edge = base .. ':h', {}, '-'
while true do
    local entry = redis.call('ZRANGEBYLEX', queue, edge, '+', 'LIMIT', 0, 1)[1]
    if not entry then
        break
    end
    local replica = string.sub(entry, 1, 32)
    local ends = tonumber(redis.call('HGET', lives, replica) or '0')
    if ends <= now then
        dead[#dead + 1] = replica
        if replica ~= me then
            redis.call('HDEL', lives, replica)
        end
    end
    -- "~" sorts behind every hexadecimal digit.
    edge = '(' .. replica .. '~'
end
if #dead > 0 and tonumber(redis.call('HGET', lives, me) or '0') <= now then
    redis.call('HSET', lives, me, til)
    redis.call('PEXPIRE', lives, DAY)
end
return { 'OK', dead }
