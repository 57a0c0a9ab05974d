# Net::SIP as a phone: perl netsip.pl HOST PORT LOCALPORT DOMAIN USER PASSWORD
#
# Theory of operation: one event loop, in which standard input is one more socket. Commands: register SECONDS,
# call USER, bye, quit. What happens stands on standard output, a line each. Incoming calls are answered.
use strict;
use warnings;
use Net::SIP;

$| = 1;
my ($host, $port, $local, $domain, $user, $password) = @ARGV;
my ($call, $done);

my $ua = Net::SIP::Simple->new(
    legs           => [{ proto => 'udp', addr => $host, port => $local }],
    outgoing_proxy => "$host:$port",
    registrar      => "$host:$port",
    domain         => $domain,
    from           => "sip:$user\@$domain",
    contact        => "sip:$user\@$host:$local",
    auth           => [$user, $password],
) or die "no user agent\n";

sub say_line { print "@_\n" }

$ua->listen(
    init_media     => $ua->rtp('recv_echo'),
    cb_create      => sub { my ($new) = @_; $call = $new; say_line('incoming'); 1 },
    cb_established => sub { say_line('established') },
    recv_bye       => sub { say_line('ended by them') },
    send_bye       => sub { say_line('ended by us') },
);

sub command {
    my ($word, $argument) = @_;
    if ($word eq 'register') {
        $ua->register(
            expires  => $argument,
            cb_final => sub { say_line("registration $_[0]") },
        );
    } elsif ($word eq 'call') {
        $call = $ua->invite(
            "sip:$argument\@$domain",
            init_media => $ua->rtp('recv_echo'),
            cb_final   => sub { my ($status, undef, %info) = @_; say_line("call $status", $info{code} // '') },
            recv_bye   => sub { say_line('ended by them') },
        );
    } elsif ($word eq 'bye') {
        $call->bye(cb_final => sub { say_line('bye OK') });
    } elsif ($word eq 'quit') {
        $done = 1;
    }
}

# EV_READ is 0.
$ua->{loop}->addFD(
    \*STDIN, 0,
    [ sub {
        my $read = sysread(STDIN, my $text, 4096);
        $done = 1 if !$read;
        command(split ' ') for $read ? split(/\n/, $text) : ();
    } ],
    'commands'
);
say_line('ready');
$ua->loop(\$done);
say_line('quit');
