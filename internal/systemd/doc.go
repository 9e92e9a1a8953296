// Package systemd is what a service and systemd say to each other: the sockets that
// come with a start, that the service is ready, and the units that describe it.
package systemd
