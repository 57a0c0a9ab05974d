"""Services: what a Kamailio user would look for among its modules, one file each.

keepalive    nathelper's pings, usrloc's ka_*: phones behind NATs stay reachable, dead ones are found
upstream     uac_reg: this server registers at others
"""
