local id, service, origin, detail = argument(), argument(), argument(), argument()
local row = find(service, id)
if not row then
    return { 'NOTFOUND' }
elseif status_of(row) ~= 'pending' then
    return { 'ENDED', shown(row) }
end
set(row, 'status', 'canceled')
set(row, 'ended', now)
leave_pending(row)
transition(row, 'verification.canceled', origin, detail ~= '' and detail)
return { 'CANCELED', shown(row) }
