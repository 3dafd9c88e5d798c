/* scenes.h - the embedded default data: random scenes, each drawn twice, as a photograph and as the comic of it.
 *
 * The photograph has light (sun, dusk, overcast, lamps), weather, texture, depth haze, lens blur, noise and vignette. The comic has ink lines,
 * flat saturated tones, screen dots in the shadows and white highlights. The comic is meant to be predictable from a window of the
 * photograph: its tones come from the material and the coarse light, its dots stand on a 4-pixel grid, nothing in it is hidden.
 *
 * Everything is a pure function of (seed, index, size), computed with + - * / sqrt and polynomials of our own, so that the pixels are the same on
 * every machine. Thread-safe. Scenes with the same (seed, index) show the same objects at every size. No files, no global state.
 */
#ifndef PASTICHE_SCENES_H
#define PASTICHE_SCENES_H

#include <stdbool.h>
#include <stdint.h>

enum { SCENE_MIN_SIZE = 8, SCENE_MAX_SIZE = 2048 };

/* photo, comic: (3,size,size) planar RGB in 0..1, written whole. Either may be NULL (not wanted). size must lie within the limits above.
 * false: size out of range or out of memory; then nothing is written. */
bool scene_render(uint64_t seed, uint64_t index, int size, float *photo, float *comic);

/* What a scene holds, for statistics and tests: bit i of each mask stands for the i-th name of the matching list. */
typedef struct {
    uint32_t places, lights, weathers, objects;   /* places, lights and weathers have exactly one bit set */
    float    horizon, zoom, roll, blur;           /* camera: horizon height 0..1 from the top, magnification, radians, pixels of blur at size 128 */
} SceneInfo;

void        scene_describe(uint64_t seed, uint64_t index, SceneInfo *info);
const char *scene_place_name(int i);              /* NULL past the end of the list, as the next three */
const char *scene_light_name(int i);
const char *scene_weather_name(int i);
const char *scene_object_name(int i);

#endif
