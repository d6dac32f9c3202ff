// Package kit is what the HTTP faces share: routing by table, request ids,
// faults, authentication, microversions, strict reading of bodies and
// queries, paging links and the access log.
//
// A face is a [Face]: its routes, its fault form and its rules. [New] turns
// it into an http.Handler on top of an [Env], which holds what all the faces
// of a process have in common. Handlers return errors and never write them;
// the face's [Faults] decide how one looks on the wire.
package kit
